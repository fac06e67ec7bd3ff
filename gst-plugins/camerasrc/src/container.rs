//! Which container a file is, told by its first bytes, and whether it breaks off before its own end.

use std::io::{self, Read, Seek, SeekFrom};

/// Containers that are read, each by one fixed element: a file never chooses a demuxer by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// MP4 and `QuickTime`.
    Mp4,
    /// Matroska and `WebM`.
    Matroska,
    /// AVI.
    Avi,
    /// MPEG transport stream.
    MpegTs,
    /// Flash video.
    Flv,
    /// An H.264 elementary stream.
    H264,
    /// An H.265 elementary stream.
    H265,
}

impl Container {
    /// The element that takes it apart, `None` when there is nothing to take apart.
    pub fn demuxer(self) -> Option<&'static str> {
        match self {
            Self::Mp4 => Some("qtdemux"),
            Self::Matroska => Some("matroskademux"),
            Self::Avi => Some("avidemux"),
            Self::MpegTs => Some("tsdemux"),
            Self::Flv => Some("flvdemux"),
            Self::H264 | Self::H265 => None,
        }
    }
}

/// What the first bytes say; `extension` decides between elementary streams only.
pub fn sniff(head: &[u8], extension: &str) -> Option<Container> {
    let at = |from: usize, magic: &[u8]| head.get(from..from + magic.len()) == Some(magic);
    let boxes: [&[u8]; 6] = [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"];
    if boxes.iter().any(|name| at(4, name)) {
        Some(Container::Mp4)
    } else if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) {
        Some(Container::Matroska)
    } else if at(0, b"RIFF") && at(8, b"AVI ") {
        Some(Container::Avi)
    } else if at(0, b"FLV") {
        Some(Container::Flv)
    } else if at(0, &[0x47]) && at(188, &[0x47]) {
        Some(Container::MpegTs)
    } else if at(0, &[0, 0, 1]) || at(0, &[0, 0, 0, 1]) {
        match extension.to_ascii_lowercase().as_str() {
            "h264" | "264" | "avc" => Some(Container::H264),
            "h265" | "265" | "hevc" => Some(Container::H265),
            _ => None,
        }
    } else {
        None
    }
}

/// Whether a file is shorter than its own outermost structure says.
///
/// # Errors
/// When the file cannot be read.
pub fn breaks_off(container: Container, file: &mut (impl Read + Seek)) -> io::Result<bool> {
    let len = file.seek(SeekFrom::End(0))?;
    match container {
        Container::Mp4 => mp4_breaks_off(file, len),
        Container::Avi => {
            let mut head = [0; 8];
            file.seek(SeekFrom::Start(0))?;
            file.read_exact(&mut head)?;
            let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            // Writers that were killed leave 0; OpenDML files hold more than the first chunk says.
            Ok(size != 0 && u64::from(size) + 8 > len)
        }
        Container::Matroska => {
            let mut head = Vec::new();
            file.seek(SeekFrom::Start(0))?;
            file.take(256).read_to_end(&mut head)?;
            Ok(segment_end(&head).is_some_and(|end| end > len))
        }
        // These may be cut anywhere by design.
        Container::MpegTs | Container::Flv | Container::H264 | Container::H265 => Ok(false),
    }
}

/// Where the segment of a Matroska file ends; `None` when it was never told, as in a file that was streamed.
fn segment_end(head: &[u8]) -> Option<u64> {
    let mut at = 4;
    let size = varint(head, &mut at)?;
    at = at.checked_add(usize::try_from(size?).ok()?)?;
    if head.get(at..at + 4)? != [0x18, 0x53, 0x80, 0x67] {
        return None;
    }
    at += 4;
    let size = varint(head, &mut at)??;
    (at as u64).checked_add(size)
}

/// An EBML size at `at`, which moves behind it; the inner `None` is the size that means "unknown".
fn varint(bytes: &[u8], at: &mut usize) -> Option<Option<u64>> {
    let first = *bytes.get(*at)?;
    let length = usize::try_from(first.leading_zeros()).ok()? + 1;
    if length > 8 {
        return None;
    }
    let all = 1_u64 << (7 * length);
    let value = bytes
        .get(*at..*at + length)?
        .iter()
        .fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
        % all;
    *at += length;
    Some((value != all - 1).then_some(value))
}

fn mp4_breaks_off(file: &mut (impl Read + Seek), len: u64) -> io::Result<bool> {
    let mut at = 0;
    while at + 8 <= len {
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let size = match u32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
            // Up to the end of the file.
            0 => return Ok(false),
            1 => {
                let mut long = [0; 8];
                if file.read_exact(&mut long).is_err() {
                    return Ok(true);
                }
                u64::from_be_bytes(long)
            }
            size => u64::from(size),
        };
        if size < 8 {
            return Ok(true);
        }
        match at.checked_add(size) {
            Some(next) if next <= len => at = next,
            _ => return Ok(true),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn first_bytes_decide() {
        let mut ts = vec![0; 200];
        ts[0] = 0x47;
        ts[188] = 0x47;
        for (head, extension, expected) in [
            (b"\0\0\0\x18ftypisom".to_vec(), "avi", Some(Container::Mp4)),
            (
                vec![0x1a, 0x45, 0xdf, 0xa3, 1],
                "mp4",
                Some(Container::Matroska),
            ),
            (b"RIFF\0\0\0\0AVI LIST".to_vec(), "", Some(Container::Avi)),
            (b"RIFF\0\0\0\0WAVEfmt ".to_vec(), "avi", None),
            (b"FLV\x01".to_vec(), "", Some(Container::Flv)),
            (ts, "", Some(Container::MpegTs)),
            (vec![0, 0, 0, 1, 0x67], "H264", Some(Container::H264)),
            (vec![0, 0, 1, 0x40], "hevc", Some(Container::H265)),
            (vec![0, 0, 0, 1, 0x67], "mp4", None),
            (b"plain text".to_vec(), "mp4", None),
            (Vec::new(), "mp4", None),
        ] {
            assert_eq!(sniff(&head, extension), expected, "{head:?}");
        }
    }

    #[test]
    fn files_that_break_off_are_seen() {
        let whole = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x0cmdat1234".to_vec();
        for (bytes, expected) in [
            (whole.clone(), false),
            (whole[..whole.len() - 1].to_vec(), true),
            (b"\0\0\0\0mdat".to_vec(), false),
            (b"\0\0\0\x04mdat".to_vec(), true),
            (b"\0\0\0\x01mdat\0\0".to_vec(), true),
            (
                b"\0\0\0\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
                true,
            ),
        ] {
            let found = breaks_off(Container::Mp4, &mut Cursor::new(&bytes)).unwrap();
            assert_eq!(found, expected, "{bytes:?}");
        }
        let ebml = |size: &[u8], body: &[u8]| {
            let head = b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67";
            [&head[..], size, body].concat()
        };
        for (bytes, expected) in [
            (ebml(b"\x84", b"1234"), false),
            (ebml(b"\x84", b"123"), true),
            (ebml(b"\x01\0\0\0\0\0\0\x04", b"1234"), false),
            (ebml(b"\x01\0\0\0\0\0\0\x05", b"1234"), true),
            (ebml(b"\x01\xff\xff\xff\xff\xff\xff\xff", b"12"), false),
            (ebml(b"\xff", b""), false),
            (ebml(b"\0", b""), false),
            (b"\x1a\x45\xdf\xa3".to_vec(), false),
        ] {
            let found = breaks_off(Container::Matroska, &mut Cursor::new(&bytes)).unwrap();
            assert_eq!(found, expected, "{bytes:?}");
        }
        let avi = b"RIFF\x06\0\0\0AVI 12".to_vec();
        assert!(!breaks_off(Container::Avi, &mut Cursor::new(&avi)).unwrap());
        assert!(breaks_off(Container::Avi, &mut Cursor::new(&avi[..13])).unwrap());
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            sniff(&bytes, "mp4");
            drop(breaks_off(Container::Mp4, &mut Cursor::new(&bytes)));
            drop(breaks_off(Container::Matroska, &mut Cursor::new(&bytes)));
            drop(breaks_off(Container::Avi, &mut Cursor::new(&bytes)));
        }
    }
}
