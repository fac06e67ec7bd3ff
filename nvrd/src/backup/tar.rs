//! Files in one file, in the format of tar (POSIX ustar): written plainly, read without trust.

use std::io::{self, Read, Write};

/// Bytes of a block; headers are one, contents are filled up to whole ones.
const BLOCK: usize = 512;
/// Longest name that a header holds.
pub(super) const MAX_NAME: usize = 100;
/// Largest length in octal digits; what is longer is written in binary, as GNU's tar does.
const MAX_OCTAL: u64 = 0o777_7777_7777;

/// Where a number stands in a header: its first byte, and how many.
const MODE: (usize, usize) = (100, 8);
const SIZE: (usize, usize) = (124, 12);
const TIME: (usize, usize) = (136, 12);
const CHECKSUM: (usize, usize) = (148, 8);

/// A file inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name, as it was written.
    pub(super) name: String,
    /// Its length.
    pub(super) bytes: u64,
}

/// Writes a file: its header, `bytes` bytes of its content, and what fills up the last block.
pub(super) fn write(
    out: &mut dyn Write,
    name: &str,
    mode: u32,
    made_unix: u64,
    bytes: u64,
    content: &mut dyn Read,
) -> io::Result<()> {
    out.write_all(&header(name, mode, made_unix, bytes))?;
    let copied = io::copy(&mut content.take(bytes), out)?;
    if copied != bytes {
        return Err(io::Error::other(format!(
            "{name}: it became shorter meanwhile"
        )));
    }
    out.write_all(&vec![0; filling(bytes)])
}

/// Writes what says that nothing follows.
pub(super) fn finish(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK])
}

/// Reads the next header; `None` at the end. Its content follows, which [`skip`] passes over.
///
/// # Errors
/// `InvalidData` for anything but a plain file with a sound header, and for an end that is missing.
pub(super) fn next(from: &mut dyn Read) -> io::Result<Option<Entry>> {
    let mut block = [0; BLOCK];
    from.read_exact(&mut block)?;
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    if field(&block, CHECKSUM).and_then(octal) != Some(checksum(&block)) {
        return Err(bad("a header is damaged, or this is no tar file"));
    }
    if !matches!(block[156], b'0' | 0) {
        return Err(bad("something in it is no plain file"));
    }
    // A name in two parts is none of ours.
    if block[345] != 0 {
        return Err(bad("a name in it is too long"));
    }
    let name = block[..MAX_NAME].split(|byte| *byte == 0).next();
    let name =
        std::str::from_utf8(name.unwrap_or_default()).map_err(|_| bad("a name is no text"))?;
    let bytes = field(&block, SIZE)
        .and_then(number)
        .ok_or_else(|| bad("a length is damaged"))?;
    Ok(Some(Entry {
        name: name.to_owned(),
        bytes,
    }))
}

/// Passes over what fills up the last block of a content of so many bytes, after the content itself.
pub(super) fn skip(from: &mut dyn Read, bytes: u64) -> io::Result<()> {
    let mut rest = vec![0; filling(bytes)];
    from.read_exact(&mut rest)
}

fn filling(bytes: u64) -> usize {
    let over = (bytes % BLOCK as u64) as usize;
    (BLOCK - over) % BLOCK
}

fn header(name: &str, mode: u32, made_unix: u64, bytes: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let name = &name.as_bytes()[..name.len().min(MAX_NAME)];
    block[..name.len()].copy_from_slice(name);
    put_octal(&mut block, MODE, mode.into());
    put_octal(&mut block, (108, 8), 0);
    put_octal(&mut block, (116, 8), 0);
    match bytes <= MAX_OCTAL {
        true => put_octal(&mut block, SIZE, bytes),
        false => {
            block[SIZE.0] = 0x80;
            block[SIZE.0 + 4..SIZE.0 + SIZE.1].copy_from_slice(&bytes.to_be_bytes());
        }
    }
    put_octal(&mut block, TIME, made_unix);
    block[156] = b'0';
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum = checksum(&block);
    // Six digits, then what the format wants in that order.
    let text = format!("{sum:06o}\0 ");
    block[CHECKSUM.0..CHECKSUM.0 + CHECKSUM.1].copy_from_slice(text.as_bytes());
    block
}

fn put_octal(block: &mut [u8; BLOCK], (at, length): (usize, usize), value: u64) {
    let text = format!("{value:0width$o}\0", width = length - 1);
    block[at..at + length].copy_from_slice(&text.as_bytes()[..length]);
}

/// The sum of all bytes, those of the sum itself taken for blanks.
fn checksum(block: &[u8; BLOCK]) -> u64 {
    let own = CHECKSUM.0..CHECKSUM.0 + CHECKSUM.1;
    let bytes = block.iter().enumerate();
    bytes
        .map(|(at, byte)| u64::from(if own.contains(&at) { b' ' } else { *byte }))
        .sum()
}

fn field(block: &[u8; BLOCK], (at, length): (usize, usize)) -> Option<&[u8]> {
    block.get(at..at + length)
}

fn number(field: &[u8]) -> Option<u64> {
    match field.first()? & 0x80 {
        0 => octal(field),
        _ => {
            let (high, low) = field.split_at(field.len() - 8);
            let empty = high.iter().skip(1).all(|byte| *byte == 0);
            let low: [u8; 8] = low.try_into().ok()?;
            (empty && high[0] == 0x80).then_some(u64::from_be_bytes(low))
        }
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    let text = text.trim_matches(|c: char| c == '\0' || c == ' ');
    u64::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, content) in files {
            let mut from = *content;
            write(
                &mut out,
                name,
                0o600,
                1_700_000_000,
                content.len() as u64,
                &mut from,
            )
            .unwrap();
        }
        finish(&mut out).unwrap();
        out
    }

    fn unpacked(mut from: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut found = Vec::new();
        while let Some(entry) = next(&mut from)? {
            let mut content = vec![0; usize::try_from(entry.bytes).unwrap_or(0).min(from.len())];
            from.read_exact(&mut content)?;
            skip(&mut from, entry.bytes)?;
            found.push((entry.name, content));
        }
        Ok(found)
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let long = [7; 1025];
        let files: [(&str, &[u8]); 4] = [
            ("a", b""),
            ("b/c.toml", b"x"),
            ("d", &[1; 512]),
            ("e", &long),
        ];
        let bytes = packed(&files);
        assert_eq!(bytes.len() % BLOCK, 0);
        let found = unpacked(&bytes).unwrap();
        assert_eq!(
            found,
            files.map(|(name, content)| (name.to_owned(), content.to_vec()))
        );
    }

    #[test]
    fn other_programs_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.tar");
        std::fs::write(&file, packed(&[("b/c.toml", b"hello")])).unwrap();
        let tar = std::process::Command::new("tar")
            .arg("-xOf")
            .arg(&file)
            .arg("b/c.toml")
            .output();
        let Ok(tar) = tar else {
            println!("SKIP: no tar here");
            return;
        };
        assert!(
            tar.status.success(),
            "{}",
            String::from_utf8_lossy(&tar.stderr)
        );
        assert_eq!(tar.stdout, b"hello");
    }

    #[test]
    fn lengths_have_no_end() {
        for bytes in [0, 511, MAX_OCTAL, MAX_OCTAL + 1, u64::MAX] {
            let block = header("x", 0o600, 0, bytes);
            let entry = next(&mut &block[..]).unwrap().unwrap();
            assert_eq!(entry.bytes, bytes);
        }
    }

    #[test]
    fn damage_is_refused() {
        let good = packed(&[("a", b"hello")]);
        for at in [0, 99, 124, 156, 300, 511] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(unpacked(&bad).is_err(), "{at}");
        }
        for length in [0, 100, BLOCK, BLOCK + 3, 2 * BLOCK] {
            assert!(unpacked(&good[..length]).is_err(), "{length}");
        }
        // A link, by a header that is sound otherwise.
        let mut link = good.clone();
        link[156] = b'2';
        let sum: [u8; BLOCK] = link[..BLOCK].try_into().unwrap();
        let text = format!("{:06o}\0 ", checksum(&sum));
        link[148..156].copy_from_slice(text.as_bytes());
        let error = unpacked(&link).unwrap_err();
        assert!(error.to_string().contains("no plain file"), "{error}");
    }
}
