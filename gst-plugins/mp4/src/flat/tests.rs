//! Exports of made-up recordings: which samples they hold, when they are shown, and that their bytes are the sources'.

use std::path::PathBuf;

use mp4_atom::{Decode, Ftyp, Moov, StszSamples, Trak};

use super::*;
use crate::recorded::Recipe;

const T0: i64 = 1_800_000_000_000_000;
const SECOND: i64 = 1_000_000;

/// A sample of an export: when it is shown, in ticks of its track from the start of the presentation, and its bytes.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    at: i64,
    description: u32,
    data: Vec<u8>,
}

struct Exported {
    moov: Moov,
    bytes: Vec<u8>,
    plan: Plan,
}

/// Recordings that begin at seconds after `T0`.
struct Recordings {
    folder: tempfile::TempDir,
    files: Vec<(PathBuf, i64)>,
}

impl Recordings {
    fn new(recipes: &[(i64, Recipe)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = recipes.iter().map(|(second, recipe)| {
            let path = folder.path().join(format!("{second}.mp4"));
            std::fs::write(&path, recipe.build()).unwrap();
            (path, T0 + second * SECOND)
        });
        Self {
            files: files.collect(),
            folder,
        }
    }

    fn plan(&self, from: f64, to: f64) -> Result<Plan, FlatError> {
        let us = |seconds: f64| T0 + (seconds * 1e6).round() as i64;
        let mut flat = Flat::new(us(from), us(to));
        for (n, (path, start)) in self.files.iter().enumerate() {
            let next = self.files.get(n + 1).map_or(i64::MAX, |next| next.1);
            flat.add(path, *start, next)?;
        }
        flat.finish()
    }

    fn export(&self, from: f64, to: f64) -> Exported {
        let plan = self.plan(from, to).unwrap();
        let path = self.folder.path().join("export.mp4");
        let out = File::create(&path).unwrap();
        let mut last = 0;
        let flow = plan.write(&out, &mut |done| {
            assert!(done > last);
            last = done;
            ControlFlow::Continue(())
        });
        assert!(flow.unwrap().is_continue());
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(
            (plan.bytes(), last),
            (bytes.len() as u64, bytes.len() as u64)
        );
        let mut rest = &bytes[..];
        Ftyp::decode(&mut rest).unwrap();
        let moov = Moov::decode(&mut rest).unwrap();
        assert_eq!(&rest[4..8], b"mdat");
        assert_eq!(
            rest[8..16],
            (rest.len() as u64).to_be_bytes(),
            "mdat ends with the file"
        );
        Exported { moov, bytes, plan }
    }
}

impl Exported {
    /// Seconds that the edit list shows of a track.
    fn seconds(&self, track: usize) -> f64 {
        let edits = &self.edits(track);
        let ticks: u64 = edits.iter().map(|edit| edit.segment_duration).sum();
        ticks as f64 / f64::from(self.moov.mvhd.timescale)
    }

    fn edits(&self, track: usize) -> Vec<mp4_atom::ElstEntry> {
        let edts = self.moov.trak[track].edts.as_ref().unwrap();
        edts.elst.as_ref().unwrap().entries.clone()
    }

    /// All samples, read by the tables as any player does.
    fn samples(&self, track: usize) -> Vec<Shown> {
        let trak: &Trak = &self.moov.trak[track];
        let stbl = &trak.mdia.minf.stbl;
        let StszSamples::Different { sizes } = &stbl.stsz.samples else {
            panic!("sizes differ");
        };
        let origin = self.edits(track).last().unwrap().media_time.unwrap();
        let each = |runs: Vec<(u32, i64)>| {
            runs.into_iter()
                .flat_map(|(count, value)| std::iter::repeat_n(value, count as usize))
                .collect::<Vec<i64>>()
        };
        let durations = each(
            stbl.stts
                .entries
                .iter()
                .map(|run| (run.sample_count, i64::from(run.sample_delta)))
                .collect(),
        );
        let offsets = stbl.ctts.as_ref().map_or_else(
            || vec![0; sizes.len()],
            |ctts| {
                each(
                    ctts.entries
                        .iter()
                        .map(|run| (run.sample_count, run.sample_offset))
                        .collect(),
                )
            },
        );
        let mut places = Vec::new();
        for (n, start) in stbl.stco.as_ref().unwrap().entries.iter().enumerate() {
            let runs = &stbl.stsc.entries;
            let run = runs.iter().rfind(|run| run.first_chunk as usize <= n + 1);
            let run = run.unwrap();
            let mut at = *start as usize;
            for _ in 0..run.samples_per_chunk {
                let size = sizes[places.len()] as usize;
                places.push((at, run.sample_description_index));
                at += size;
            }
        }
        assert_eq!(
            (places.len(), durations.len(), offsets.len()),
            (sizes.len(), sizes.len(), sizes.len())
        );
        let mut dts = 0;
        let mut shown = Vec::new();
        for (n, (at, description)) in places.into_iter().enumerate() {
            shown.push(Shown {
                at: dts + offsets[n] - origin.cast_signed(),
                description,
                data: self.bytes[at..at + sizes[n] as usize].to_vec(),
            });
            dts += durations[n];
        }
        assert_eq!(
            trak.mdia.mdhd.duration,
            dts.cast_unsigned(),
            "the media is as long as its samples"
        );
        shown
    }
}

fn recipe(mark: u8) -> Recipe {
    Recipe {
        mark,
        ..Recipe::default()
    }
}

#[test]
fn what_is_shown_is_the_range_from_the_picture_at_its_start() {
    for reorder in [false, true] {
        let files = Recordings::new(&[
            (
                0,
                Recipe {
                    reorder,
                    ..recipe(1)
                },
            ),
            (
                4,
                Recipe {
                    reorder,
                    ..recipe(2)
                },
            ),
        ]);
        // The picture at 1.50 began at 1.48.
        let export = files.export(1.5, 5.3);
        assert_eq!(export.plan.start_unix_us(), T0 + 1_480_000);
        assert!(
            (export.seconds(0) - 3.82).abs() < 1e-9,
            "{}",
            export.seconds(0)
        );
        let samples = export.samples(0);
        let mut shown: Vec<i64> = samples.iter().map(|s| s.at).filter(|&at| at >= 0).collect();
        shown.sort_unstable();
        let expect: Vec<i64> = (0..96).map(|n| n * 3600).collect();
        assert_eq!(shown.get(..96), Some(&expect[..]), "reorder {reorder}");
        // What is not shown is what decoding needs: from the key frame at 1.00 on.
        assert_eq!(samples.iter().filter(|s| s.at < 0).count(), 12);
        let bytes: Vec<Vec<u8>> = samples.iter().map(|s| s.data.clone()).collect();
        let source = |mark, numbers: std::ops::Range<u32>| {
            numbers
                .map(move |n| recipe(mark).data(n, 100 + n % 7))
                .collect::<Vec<_>>()
        };
        let expect = [source(1, 25..100), source(2, 0..33)].concat();
        assert_eq!(bytes[..expect.len()], expect);
        assert!(bytes.len() <= expect.len() + 1);
    }
}

#[test]
fn a_hole_keeps_its_length_and_the_end_is_the_range_s() {
    let files = Recordings::new(&[(0, recipe(1)), (10, recipe(2))]);
    let export = files.export(1.0, 20.0);
    let samples = export.samples(0);
    assert_eq!(samples.len(), 175);
    assert_eq!(samples[74].at, 74 * 3600);
    assert_eq!(
        samples[75].at,
        9 * 90_000,
        "the second file begins where it did"
    );
    assert!((export.seconds(0) - 19.0).abs() < 1e-9);
    assert_eq!(export.moov.mvhd.duration, 19 * 90_000);
    let created = export.moov.mvhd.creation_time;
    assert_eq!(created, crate::fmp4::mp4_seconds(T0 + SECOND));
}

#[test]
fn a_range_that_begins_in_a_hole_begins_with_the_first_picture() {
    let files = Recordings::new(&[(0, recipe(1)), (10, recipe(2))]);
    let export = files.export(6.0, 12.0);
    assert_eq!(export.plan.start_unix_us(), T0 + 10 * SECOND);
    assert!((export.seconds(0) - 2.0).abs() < 1e-9);
    assert_eq!(export.samples(0)[0].at, 0);
    assert!(matches!(files.plan(4.5, 9.9), Err(FlatError::Nothing)));
    assert!(matches!(files.plan(20.0, 30.0), Err(FlatError::Nothing)));
    assert!(matches!(files.plan(-9.0, 0.0), Err(FlatError::Nothing)));
}

#[test]
fn sound_stays_with_the_pictures() {
    let with = |mark, audio| Recipe {
        audio,
        ..recipe(mark)
    };
    let files = Recordings::new(&[(0, with(1, true)), (4, with(2, false)), (8, with(3, true))]);
    let export = files.export(1.0, 12.0);
    assert_eq!(export.moov.trak.len(), 2);
    let sound = export.samples(1);
    let silent = |s: &Shown| s.data.len() == 9;
    let first = sound.iter().position(silent).unwrap();
    let last = sound.iter().rposition(silent).unwrap();
    assert!(sound[first..=last].iter().all(silent));
    // Packets are as long as ever, so that a player that does not look at times keeps them.
    assert!(
        sound
            .windows(2)
            .take(last - 1)
            .all(|pair| pair[1].at - pair[0].at == 1024)
    );
    let at = |place: usize| sound[place].at as f64 / 48_000.0;
    assert!((at(first) - 3.0).abs() < 0.022, "{}", at(first));
    assert!((at(last + 1) - 7.0).abs() < 0.022, "{}", at(last + 1));
    assert!(sound[0].at <= 0 && sound[0].at > -2 * 1024);
    assert!(
        (export.seconds(1) - 11.0).abs() < 0.03,
        "{}",
        export.seconds(1)
    );
}

#[test]
fn other_parameters_are_a_second_description() {
    let other = Recipe {
        profile: 0x4d,
        ..recipe(2)
    };
    let files = Recordings::new(&[(0, recipe(1)), (4, other), (8, recipe(3))]);
    let export = files.export(0.0, 12.0);
    assert_eq!(export.moov.trak[0].mdia.minf.stbl.stsd.codecs.len(), 2);
    let samples = export.samples(0);
    let kinds: Vec<u32> = samples.iter().map(|s| s.description).collect();
    assert_eq!(kinds, [[1; 100], [2; 100], [1; 100]].concat());
}

#[test]
fn pictures_behind_the_start_of_the_next_file_are_left_out() {
    // The clock was set back: the second file begins before the first one ends.
    let files = Recordings::new(&[(0, recipe(1)), (3, recipe(2))]);
    let export = files.export(0.0, 7.0);
    let times: Vec<i64> = export.samples(0).iter().map(|s| s.at).collect();
    assert_eq!(times, (0..175).map(|n| n * 3600).collect::<Vec<_>>());
}

#[test]
fn key_frames_behind_the_length_of_the_movie_are_not_listed() {
    let files = Recordings::new(&[(
        0,
        Recipe {
            gop: 50,
            ..recipe(1)
        },
    )]);
    let export = files.export(1.9, 4.0);
    let stss = export.moov.trak[0].mdia.minf.stbl.stss.clone().unwrap();
    // Media time begins at 0.0 and the movie is 2.12 s long: the key frame at 2.0 stays.
    assert_eq!(stss.entries, [1, 51]);
    let stss = files.export(1.9, 3.8).moov.trak[0]
        .mdia
        .minf
        .stbl
        .stss
        .clone();
    assert_eq!(stss.unwrap().entries, [1]);
}

#[test]
fn a_torn_file_gives_what_is_whole_and_a_lost_one_is_named() {
    let files = Recordings::new(&[(0, recipe(1)), (4, recipe(2))]);
    let torn = files.files[0].0.clone();
    let whole = std::fs::read(&torn).unwrap();
    std::fs::write(&torn, &whole[..whole.len() / 2 + 300]).unwrap();
    let export = files.export(0.0, 6.0);
    let samples = export.samples(0);
    assert_eq!(
        samples.len(),
        100,
        "two whole fragments, and half of the second file"
    );
    assert_eq!(samples[50].at, 4 * 90_000);

    let plan = files.plan(0.0, 6.0).unwrap();
    std::fs::write(&torn, b"").unwrap();
    let out = tempfile::tempfile().unwrap();
    let lost = plan
        .write(&out, &mut |_| ControlFlow::Continue(()))
        .unwrap_err();
    assert!(lost.to_string().contains("0.mp4: could not copy"), "{lost}");
    std::fs::remove_file(&torn).unwrap();
    let lost = files.plan(0.0, 6.0).unwrap_err();
    assert!(lost.to_string().contains("0.mp4: could not read"), "{lost}");
}

#[test]
fn the_work_can_be_stopped() {
    let files = Recordings::new(&[(0, recipe(1)), (4, recipe(2))]);
    let plan = files.plan(0.0, 8.0).unwrap();
    let out = tempfile::tempfile().unwrap();
    let flow = plan.write(&out, &mut |_| ControlFlow::Break(())).unwrap();
    assert!(flow.is_break());
    assert!(out.metadata().unwrap().len() < plan.bytes());
}

#[test]
fn beyond_four_gigabytes_places_have_64_bits() {
    let files = Recordings::new(&[(0, recipe(1))]);
    let mut flat = Flat::new(T0, T0 + SECOND);
    let (path, start) = &files.files[0];
    assert!(flat.add(path, *start, i64::MAX).unwrap());
    flat.bytes = 5 << 30;
    let head = flat.finish().unwrap().head;
    let mut rest = &head[..];
    Ftyp::decode(&mut rest).unwrap();
    let stbl = Moov::decode(&mut rest).unwrap().trak[0]
        .mdia
        .minf
        .stbl
        .clone();
    assert_eq!(stbl.co64.unwrap().entries, [head.len() as u64]);
    assert_eq!(stbl.stco, None);
    assert_eq!(rest[8..16], ((5_u64 << 30) + 16).to_be_bytes());
}

#[test]
fn a_long_range_counts_in_ticks_that_players_can_hold() {
    let files = Recordings::new(&[
        (
            0,
            Recipe {
                audio: true,
                ..recipe(1)
            },
        ),
        (80_000, recipe(2)),
    ]);
    let export = files.export(0.0, 80_010.0);
    let samples = export.samples(0);
    assert_eq!(samples[100].at, 80_000 * 9000);
    let most = export
        .moov
        .trak
        .iter()
        .flat_map(|trak| &trak.mdia.minf.stbl.stts.entries);
    assert!(most.map(|run| run.sample_delta).max().unwrap() < 1 << 31);
}
