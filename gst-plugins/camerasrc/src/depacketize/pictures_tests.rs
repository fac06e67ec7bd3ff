//! Tests of putting pictures together: what cameras do, what they should not, and noise.

use proptest::prelude::*;

use super::*;

struct Feed {
    pictures: Pictures,
    out: Vec<Picture>,
    faults: Vec<Fault>,
}

impl Feed {
    fn new(codec: Codec) -> Self {
        Self {
            pictures: Pictures::new(codec, ParameterSets::default()),
            out: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn push(&mut self, ticks: i64, data: &[u8], marker: bool, lost: bool) -> &mut Self {
        let payload = Payload {
            data,
            ticks,
            marker,
            lost,
            received: Instant::now(),
        };
        if let Err(fault) = self.pictures.push(&payload, &mut self.out) {
            self.faults.push(fault);
        }
        self
    }

    /// Time stamp, key, damaged, kinds of the units.
    fn seen(&self) -> Vec<(i64, bool, bool, Vec<u8>)> {
        self.out
            .iter()
            .map(|picture| {
                let mut kinds = Vec::new();
                let mut data = &picture.data[..];
                while let Some((length, rest)) = data.split_first_chunk::<4>() {
                    let length = u32::from_be_bytes(*length) as usize;
                    kinds.push(self.pictures.codec.kind(rest));
                    data = &rest[length..];
                }
                (picture.ticks, picture.key, picture.damaged, kinds)
            })
            .collect()
    }
}

const SPS: &[u8] = &[0x67, 100, 0, 31, 0x80, 1];
const PPS: &[u8] = &[0x68, 0x80, 2];
const SEI: &[u8] = &[0x06, 1, 1];
const IDR: &[u8] = &[0x65, 0x88, 1, 2];
const SLICE: &[u8] = &[0x41, 0x9a, 1, 2];
/// A slice that is not the first of its picture.
const MORE: &[u8] = &[0x41, 0x1a, 1, 2];

#[test]
fn units_aggregates_and_fragments_make_pictures() {
    let mut feed = Feed::new(Codec::H264);
    let aggregate = [&[24][..], &[0, 6], SPS, &[0, 3], PPS].concat();
    feed.push(0, &aggregate, false, false)
        .push(0, &[0x7c, 0x85, 0x88, 1], false, false)
        .push(0, &[0x7c, 0x05, 2], false, false)
        .push(0, &[0x7c, 0x45, 3], true, false)
        .push(40, SLICE, false, false)
        .push(40, MORE, false, false)
        // Without a marker the next time stamp ends a picture.
        .push(80, &[9, 0xf0], false, false)
        .push(80, SLICE, true, false);
    assert_eq!(feed.faults, []);
    assert_eq!(
        feed.seen(),
        [
            (0, true, false, vec![5]),
            (40, false, false, vec![1, 1]),
            (80, false, false, vec![1])
        ]
    );
    assert_eq!(feed.out[0].data, [0, 0, 0, 5, 0x65, 0x88, 1, 2, 3]);
    let sets = feed.out[0].sets.as_ref().unwrap();
    assert_eq!(sets.of(7).collect::<Vec<_>>(), [SPS]);
    assert_eq!(sets.of(8).collect::<Vec<_>>(), [PPS]);
    assert_eq!(feed.out[1].sets, None);
}

#[test]
fn habits_of_cameras_are_borne() {
    // Parameter sets with a marker and a time stamp of their own, and start codes where none belong.
    let mut feed = Feed::new(Codec::H264);
    let stream = [
        &[0, 0, 0, 1][..],
        SPS,
        &[0, 0, 0, 1],
        PPS,
        &[0, 0, 1],
        SEI,
        &[0, 0, 1],
        IDR,
    ]
    .concat();
    feed.push(0, SPS, true, false)
        .push(1, PPS, true, false)
        .push(2, IDR, true, false)
        .push(40, &stream, true, false);
    assert_eq!(feed.faults, []);
    assert_eq!(
        feed.seen(),
        [(2, true, false, vec![5]), (40, true, false, vec![6, 5])]
    );
    assert!(feed.out[0].sets.is_some() && feed.out[1].sets.is_none());
}

#[test]
fn h265_is_put_together_too() {
    let mut feed = Feed::new(Codec::H265);
    let unit = |kind: u8, body: &[u8]| [&[kind << 1, 1][..], body].concat();
    let aggregate = [
        &[48 << 1, 1, 0, 4][..],
        &unit(32, &[1, 1]),
        &[0, 4],
        &unit(33, &[2, 2]),
        &[0, 4],
        &unit(34, &[0x80, 3]),
    ]
    .concat();
    feed.push(0, &aggregate, false, false)
        .push(0, &[49 << 1, 1, 0x80 | 19, 0x80], false, false)
        .push(0, &[49 << 1, 1, 0x40 | 19, 7], true, false)
        .push(40, &unit(1, &[0x80, 1]), true, false)
        .push(80, &unit(21, &[0x80, 1]), true, false);
    assert_eq!(feed.faults, []);
    assert_eq!(
        feed.seen(),
        [
            (0, true, false, vec![19]),
            (40, false, false, vec![1]),
            (80, true, false, vec![21])
        ]
    );
    assert_eq!(feed.out[0].data, [0, 0, 0, 4, 19 << 1, 1, 0x80, 7]);
}

#[test]
fn what_is_broken_is_dropped_and_the_next_picture_says_so() {
    let begin = [0x7c, 0x81, 0x9a, 1];
    let middle = [0x7c, 0x01, 2];
    for (name, packets) in [
        ("no end", vec![(0, &begin[..], false)]),
        ("no end, but a marker", vec![(0, &begin[..], true)]),
        ("no beginning", vec![(0, &middle[..], false)]),
        (
            "twice the beginning",
            vec![(0, &begin[..], false), (0, &begin[..], false)],
        ),
        (
            "a unit inside",
            vec![(0, &begin[..], false), (0, SLICE, false)],
        ),
        ("empty", vec![(0, &[][..], false)]),
        ("header only", vec![(0, &[0x41][..], true)]),
        ("unknown", vec![(0, &[0x1e, 1, 1][..], true)]),
        ("aggregate", vec![(0, &[24, 0, 9, 1][..], true)]),
    ] {
        let mut feed = Feed::new(Codec::H264);
        for (ticks, data, marker) in packets {
            feed.push(ticks, data, marker, false);
        }
        feed.push(0, MORE, true, false)
            .push(40, SLICE, true, false)
            .push(80, SLICE, true, false);
        let seen = feed.seen();
        let kept: Vec<_> = seen.iter().filter(|picture| picture.0 > 0).collect();
        assert!(
            (1..=2).contains(&feed.faults.len()),
            "{name}: {:?}",
            feed.faults
        );
        assert_eq!(
            kept,
            [&(40, false, true, vec![1]), &(80, false, false, vec![1])],
            "{name}"
        );
    }
}

#[test]
fn lost_packets_cost_the_pictures_they_belong_to() {
    let mut feed = Feed::new(Codec::H264);
    feed.push(0, IDR, true, false)
        .push(40, SLICE, false, false)
        // In the middle of a picture.
        .push(40, MORE, false, true)
        .push(40, MORE, true, false)
        // Between two pictures.
        .push(80, SLICE, true, true)
        // The beginning of this one is gone.
        .push(120, MORE, true, true)
        .push(160, SLICE, true, false);
    assert_eq!(
        feed.seen(),
        [
            (0, true, false, vec![5]),
            (80, false, true, vec![1]),
            (160, false, true, vec![1])
        ]
    );
}

#[test]
fn a_picture_without_an_end_takes_no_more_memory_than_a_picture() {
    let mut feed = Feed::new(Codec::H264);
    let mut long = vec![0x7c, 0x05];
    long.resize(60_000, 0xaa);
    feed.push(0, &[0x7c, 0x85, 0x88], false, false);
    for _ in 0..1000 {
        feed.push(0, &long, false, false);
        assert!(feed.pictures.unit.data.capacity() <= 2 * LARGEST);
    }
    assert_eq!(feed.faults, [Fault::TooLarge]);
    assert_eq!(feed.pictures.unit.data.capacity(), 0);
    feed.push(40, IDR, true, false);
    assert_eq!(feed.seen(), [(40, true, true, vec![5])]);
}

#[test]
fn many_start_codes_are_no_depth() {
    let unit = [&[0x06][..], &[0, 0, 1, 6, 9].repeat(12_000)].concat();
    let mut feed = Feed::new(Codec::H264);
    feed.push(0, &unit, false, false).push(0, IDR, true, false);
    assert_eq!(feed.out.len(), 1);
}

proptest! {
    #[test]
    fn noise_never_panics(
        h265: bool,
        packets in proptest::collection::vec(
            (0..3_i64, proptest::collection::vec(any::<u8>(), 0..12), any::<bool>(), proptest::bool::weighted(0.1)),
            0..40),
    ) {
        let mut feed = Feed::new(if h265 { Codec::H265 } else { Codec::H264 });
        for (ticks, data, marker, lost) in packets {
            feed.push(ticks, &data, marker, lost);
        }
        for picture in &feed.out {
            // Lengths add up to the whole.
            let mut data = &picture.data[..];
            while let Some((length, rest)) = data.split_first_chunk::<4>() {
                data = &rest[u32::from_be_bytes(*length) as usize..];
            }
            prop_assert!(data.is_empty() && !picture.data.is_empty());
        }
    }
}
