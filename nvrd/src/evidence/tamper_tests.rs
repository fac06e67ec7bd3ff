//! What somebody with the disk in hand may do to recordings and chains, and what the check says of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nvr_base::{Clock, SimulatedClock};
use nvr_store::SegmentRow;

use super::key::PrivateKey;
use super::tests_support::row;
use super::*;

/// 2026-11-20 00:00 UTC.
const NOW_US: i64 = 1_795_132_800_000_000;

/// A camera with ten segments, of which the third is deleted, and the end of its chain as it was kept elsewhere.
struct World {
    folder: tempfile::TempDir,
    rows: Vec<SegmentRow>,
    head: Head,
    key: PublicKey,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::at(NOW_US));
        let evidence = Evidence::open(&folder.path().join("evidence"), clock).unwrap();
        let mut rows = Vec::new();
        for n in 0..10 {
            let mut row = row("front", n);
            let file = folder.path().join("recordings").join(&row.path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            let bytes: Vec<u8> = (0..5000).map(|i| (i * 7 + n) as u8).collect();
            std::fs::write(&file, &bytes).unwrap();
            row.bytes = bytes.len() as u64;
            row.blake3 = Some(nvr_mp4::inspect::hash(&file).unwrap());
            evidence.recorded(std::slice::from_ref(&row), None).unwrap();
            rows.push(row);
        }
        evidence.deleted(&rows[2..3], "age").unwrap();
        let this = Self {
            head: evidence.head("front").unwrap().unwrap(),
            key: evidence.public_key(),
            folder,
            rows,
        };
        std::fs::remove_file(this.file(2)).unwrap();
        this
    }

    fn file(&self, n: usize) -> PathBuf {
        self.folder
            .path()
            .join("recordings")
            .join(&self.rows[n].path)
    }

    fn chain(&self) -> PathBuf {
        self.folder.path().join("evidence/front/2026-11.jsonl")
    }

    fn edit_chain(&self, edit: impl FnOnce(&mut Vec<String>)) {
        let text = std::fs::read_to_string(self.chain()).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        edit(&mut lines);
        std::fs::write(self.chain(), lines.join("\n") + "\n").unwrap();
    }

    fn check_with(
        &self,
        head: Option<(u64, String)>,
        key: &PublicKey,
        range: Range<i64>,
    ) -> Report {
        let place = Place {
            id: String::new(),
            recordings: self.folder.path().join("recordings"),
        };
        let wanted = Wanted {
            evidence: &self.folder.path().join("evidence"),
            places: std::slice::from_ref(&place),
            key,
            range,
            head,
            running: false,
        };
        verify("front", &wanted, &mut |_| {}).unwrap()
    }

    fn check(&self) -> Report {
        self.check_with(None, &self.key, i64::MIN..i64::MAX)
    }

    fn check_with_head(&self) -> Report {
        let head = Some((self.head.seq, self.head.link.clone()));
        self.check_with(head, &self.key, i64::MIN..i64::MAX)
    }
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

fn said(report: &Report) -> Vec<(Fault, Option<u64>)> {
    report.findings.iter().map(|f| (f.fault, f.seq)).collect()
}

/// Entries again from some place on, with the key of somebody else.
fn sign_again(lines: &mut [String], from: usize, key: &PrivateKey) {
    let entries: Vec<Entry> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut link = from
        .checked_sub(1)
        .map_or_else(|| Entry::first_link("front"), |at| entries[at].link.clone());
    for (line, entry) in lines.iter_mut().zip(entries).skip(from) {
        let sealed = entry.seal(&link, key);
        link.clone_from(&sealed.link);
        *line = serde_json::to_string(&sealed).unwrap();
    }
}

#[test]
fn what_nobody_touched_is_whole() {
    let world = World::new();
    let report = world.check_with_head();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(
        (report.entries, report.compared, report.deleted),
        (11, 9, 1)
    );
    assert_eq!(report.compared_bytes, 9 * 5000);
    assert_eq!(report.head, Some((world.head.seq, world.head.link)));
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one table, and a line or two a way to tamper"
)]
fn every_way_to_tamper_is_named() {
    type Tamper = fn(&World);
    type Said = [(Fault, Option<u64>)];
    use Fault::{Altered, Inserted, Missing, Reordered, Unsigned};
    let cases: &[(&str, Tamper, &Said)] = &[
        (
            "a byte is flipped",
            |w| flip(&w.file(4), 2500),
            &[(Altered, Some(5))],
        ),
        (
            "a file is cut off",
            |w| {
                std::fs::OpenOptions::new()
                    .write(true)
                    .open(w.file(4))
                    .unwrap()
                    .set_len(4000)
                    .unwrap()
            },
            &[(Altered, Some(5))],
        ),
        (
            "a file is removed",
            |w| std::fs::remove_file(w.file(4)).unwrap(),
            &[(Missing, Some(5))],
        ),
        (
            "a file is put in",
            |w| {
                std::fs::write(
                    w.file(4).with_file_name("00-00-45_1795132845000000.mp4"),
                    "x",
                )
                .map(drop)
                .unwrap()
            },
            &[(Inserted, None)],
        ),
        (
            "a deleted file comes back",
            |w| std::fs::copy(w.file(3), w.file(2)).map(drop).unwrap(),
            &[(Inserted, None)],
        ),
        (
            "two files change places",
            |w| {
                let aside = w.file(4).with_extension("aside");
                std::fs::rename(w.file(4), &aside).unwrap();
                std::fs::rename(w.file(6), w.file(4)).unwrap();
                std::fs::rename(aside, w.file(6)).unwrap();
            },
            &[(Reordered, Some(5)), (Reordered, Some(7))],
        ),
        (
            "an entry is edited",
            |w| {
                w.edit_chain(|lines| {
                    lines[4] = lines[4].replace("\"bytes\":5000", "\"bytes\":5001")
                })
            },
            &[(Altered, Some(5))],
        ),
        (
            "an entry becomes rubbish",
            |w| w.edit_chain(|lines| lines[4] = "rubbish".to_owned()),
            &[(Altered, Some(5)), (Inserted, None)],
        ),
        (
            "an entry and its file are taken out",
            |w| {
                std::fs::remove_file(w.file(4)).unwrap();
                w.edit_chain(|lines| drop(lines.remove(4)));
            },
            &[(Missing, Some(5))],
        ),
        (
            "an entry is taken out and the others are numbered anew",
            |w| {
                w.edit_chain(|lines| {
                    lines.remove(9);
                    lines[9] = lines[9].replace("\"seq\":11", "\"seq\":10");
                });
                std::fs::remove_file(w.file(9)).unwrap();
            },
            &[(Altered, Some(10))],
        ),
        (
            "the beginning of the chain is taken out",
            |w| {
                w.edit_chain(|lines| drop(lines.drain(..2)));
                std::fs::remove_file(w.file(0)).unwrap();
                std::fs::remove_file(w.file(1)).unwrap();
            },
            &[(Missing, Some(1))],
        ),
        (
            "two entries change places",
            |w| w.edit_chain(|lines| lines.swap(4, 6)),
            &[(Reordered, Some(6)), (Reordered, Some(5))],
        ),
        (
            "an entry stands there twice",
            |w| w.edit_chain(|lines| lines.insert(5, lines[4].clone())),
            &[(Inserted, Some(5))],
        ),
        (
            "a file is replaced and its entry signed with another key",
            |w| {
                flip(&w.file(9), 100);
                let hash = nvr_mp4::inspect::hash(&w.file(9)).unwrap();
                w.edit_chain(|lines| {
                    lines[9] = lines[9].replace(w.rows[9].blake3.as_deref().unwrap(), &hash);
                    sign_again(lines, 9, &PrivateKey::from_seed(9));
                });
            },
            &[(Unsigned, Some(10)), (Unsigned, Some(11))],
        ),
        (
            "the entry of another camera is put in",
            |w| {
                w.edit_chain(|lines| {
                    lines[10] = lines[10].replace("\"camera\":\"front\"", "\"camera\":\"back\"")
                });
            },
            &[(Altered, Some(11)), (Inserted, Some(11))],
        ),
        (
            "the whole chain is removed",
            |w| std::fs::remove_file(w.chain()).unwrap(),
            &[(Inserted, None); 9],
        ),
    ];
    for (what, tamper, expect) in cases {
        let world = World::new();
        tamper(&world);
        let report = world.check();
        assert_eq!(said(&report), *expect, "{what}: {:#?}", report.findings);
        assert_eq!(
            report.counts.values().sum::<u64>(),
            expect.len() as u64,
            "{what}"
        );
    }
}

/// The end of a chain cut off together with its files leaves a chain that is whole in itself.
#[test]
fn an_end_that_is_cut_off_shows_only_against_a_head_that_was_kept() {
    let world = World::new();
    world.edit_chain(|lines| lines.truncate(6));
    for n in 6..10 {
        std::fs::remove_file(world.file(n)).unwrap();
    }
    std::fs::copy(world.file(3), world.file(2)).unwrap();
    // The deletion of the third was behind the cut too, so its file has to be there: that much is seen.
    assert_eq!(said(&world.check()), [(Fault::Reordered, Some(3))]);
    std::fs::remove_file(world.file(2)).unwrap();
    assert_eq!(said(&world.check()), [(Fault::Missing, Some(3))]);

    let world = World::new();
    world.edit_chain(|lines| {
        let deleted = lines[10].clone();
        lines.truncate(6);
        lines.push(deleted);
        let key = std::fs::read_to_string(world.folder.path().join("evidence/key.pem")).unwrap();
        assert!(key.contains("PRIVATE KEY"));
    });
    for n in 6..10 {
        std::fs::remove_file(world.file(n)).unwrap();
    }
    assert_eq!(said(&world.check()), [(Fault::Missing, Some(7))]);

    // Nothing shows that the last entries are gone, unless somebody kept the head.
    let world = World::new();
    let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::at(NOW_US));
    let evidence = Evidence::open(&world.folder.path().join("evidence"), clock).unwrap();
    let late = row("front", 50);
    evidence.recorded(&[late], None).unwrap();
    let head = evidence.head("front").unwrap().unwrap();
    world.edit_chain(|lines| lines.truncate(11));
    assert!(world.check().is_whole());
    let report = world.check_with(Some((head.seq, head.link)), &world.key, i64::MIN..i64::MAX);
    assert_eq!(said(&report), [(Fault::Missing, Some(11))]);
}

#[test]
fn a_chain_written_anew_with_the_stolen_key_shows_against_a_head_that_was_kept() {
    let world = World::new();
    let key = PrivateKey::load_or_make(&world.folder.path().join("evidence"), false, || {
        panic!("there is one")
    })
    .unwrap();
    flip(&world.file(4), 100);
    let hash = nvr_mp4::inspect::hash(&world.file(4)).unwrap();
    world.edit_chain(|lines| {
        lines[4] = lines[4].replace(world.rows[4].blake3.as_deref().unwrap(), &hash);
        sign_again(lines, 4, &key);
    });
    assert!(
        world.check().is_whole(),
        "whoever has the key can write a chain"
    );
    assert_eq!(said(&world.check_with_head()), [(Fault::Altered, Some(11))]);
}

#[test]
fn another_key_and_a_range_are_respected() {
    let world = World::new();
    let other = PrivateKey::from_seed(3).public();
    let report = world.check_with(None, &other, i64::MIN..i64::MAX);
    assert_eq!(report.counts.get(&Fault::Unsigned), Some(&11));
    flip(&world.file(4), 100);
    let late = world.rows[5].start_us..world.rows[9].end_us;
    let report = world.check_with(None, &world.key, late);
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.compared, 5);
}

#[test]
fn old_files_of_a_chain_go_and_the_rest_stays_whole() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("evidence");
    let month = 31 * 86_400_000_000;
    let rows: Vec<SegmentRow> = (0..6).map(|n| row("front", n)).collect();
    for (index, row) in rows.iter().enumerate() {
        // Two a month, each month with a new daemon.
        let now = NOW_US + index as i64 / 2 * month;
        let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::at(now));
        Evidence::open(&at, clock)
            .unwrap()
            .recorded(std::slice::from_ref(row), None)
            .unwrap();
    }
    let files = || chain::files(&at.join("front")).unwrap().len();
    let open = |months| {
        let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::at(NOW_US + months * month));
        Evidence::open(&at, clock).unwrap()
    };
    assert_eq!(files(), 3);
    open(2).deleted(&rows[..1], "age").unwrap();
    assert_eq!(files(), 3, "one of two is still there");
    let evidence = open(2);
    evidence.deleted(&rows[1..2], "age").unwrap();
    assert_eq!(files(), 2);
    let check = |expect: &[(Fault, Option<u64>)]| {
        let recordings = folder.path().join("recordings");
        for row in &rows[2..] {
            let file = recordings.join(&row.path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        }
        let wanted = Wanted {
            evidence: &at,
            places: &[Place {
                id: String::new(),
                recordings,
            }],
            key: &evidence.public_key(),
            // The files are not what this is about.
            range: 0..1,
            head: None,
            running: false,
        };
        let report = verify("front", &wanted, &mut |_| {}).unwrap();
        assert_eq!(said(&report), expect, "{:?}", report.findings);
    };
    check(&[]);
    // Without the statement that the first file went, its entries are missing.
    let last = chain::files(&at.join("front")).unwrap().pop().unwrap();
    let text = std::fs::read_to_string(&last).unwrap();
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("carry"))
        .collect();
    std::fs::write(&last, kept.join("\n") + "\n").unwrap();
    check(&[(Fault::Missing, Some(1))]);
    drop(open(2).recorded(&rows[..1], None));
}
