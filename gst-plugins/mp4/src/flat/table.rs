//! The sample table of one track of an export while it grows: times run on over files and holes.

use mp4_atom::{
    Co64, Codec, Ctts, CttsEntry, Stbl, Stco, Stsc, StscEntry, Stsd, Stss, Stsz, StszSamples, Stts,
    SttsEntry,
};

/// Samples of a chunk at most: players fetch and interleave by chunks.
const CHUNK_SAMPLES: u32 = 100;

/// A sample on its way into the table; times in ticks of the track from the start of the range.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub dts: i64,
    pub pts: i64,
    pub duration: i64,
    pub size: u32,
    pub key: bool,
    /// Which sample description, from 1.
    pub description: u32,
    /// Where its bytes come to lie behind the head of `mdat`.
    pub at: u64,
}

#[derive(Debug, Clone, Copy)]
struct Chunk {
    at: u64,
    end: u64,
    samples: u32,
    description: u32,
}

/// A track that grows.
#[derive(Debug)]
pub(super) struct Table {
    timescale: u32,
    entries: Vec<Codec>,
    sizes: Vec<u32>,
    durations: Vec<SttsEntry>,
    offsets: Vec<CttsEntry>,
    /// Number of each key frame, from 1, and its decode time.
    keys: Vec<(u32, i64)>,
    chunks: Vec<Chunk>,
    /// Decode time of the first sample.
    first_dts: i64,
    first_pts: i64,
    /// Of the last one.
    last_dts: i64,
    last_duration: i64,
}

impl Table {
    pub(super) fn new(timescale: u32) -> Self {
        Self {
            timescale,
            entries: Vec::new(),
            sizes: Vec::new(),
            durations: Vec::new(),
            offsets: Vec::new(),
            keys: Vec::new(),
            chunks: Vec::new(),
            first_dts: 0,
            first_pts: 0,
            last_dts: 0,
            last_duration: 0,
        }
    }

    pub(super) fn timescale(&self) -> u32 {
        self.timescale
    }

    pub(super) fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Nanoseconds in ticks.
    pub(super) fn ticks(&self, ns: i128) -> i64 {
        crate::fmp4::ticks(ns, self.timescale)
    }

    /// Where the next sample begins if it follows on.
    pub(super) fn end(&self) -> i64 {
        self.last_dts + self.last_duration
    }

    /// The first presentation time, ticks from the start of the range.
    pub(super) fn first_pts(&self) -> i64 {
        self.first_pts
    }

    /// The media time of the start of the range.
    pub(super) fn origin(&self) -> i64 {
        -self.first_dts
    }

    /// Units of the media, all samples together.
    pub(super) fn media_duration(&self) -> u64 {
        u64::try_from(self.end() - self.first_dts).unwrap_or(0)
    }

    /// The number of a sample description, from 1; a new one where it differs from all before.
    pub(super) fn description(&mut self, entry: &Codec) -> u32 {
        let known = self.entries.iter().position(|known| known == entry);
        let place = known.unwrap_or_else(|| {
            self.entries.push(entry.clone());
            self.entries.len() - 1
        });
        u32::try_from(place + 1).unwrap_or(u32::MAX)
    }

    pub(super) fn descriptions(&self) -> usize {
        self.entries.len()
    }

    /// Adds a sample; one whose decode time is not behind the last one's is put a tick behind it.
    pub(super) fn push(&mut self, mut entry: Entry) {
        if self.sizes.is_empty() {
            self.first_dts = entry.dts;
            self.first_pts = entry.pts;
        } else {
            entry.dts = entry.dts.max(self.last_dts + 1);
            self.note_duration(entry.dts - self.last_dts);
        }
        self.last_dts = entry.dts;
        self.last_duration = entry.duration.max(1);
        let offset = entry.pts - entry.dts;
        match self.offsets.last_mut() {
            Some(run) if run.sample_offset == offset => run.sample_count += 1,
            _ => self.offsets.push(CttsEntry {
                sample_count: 1,
                sample_offset: offset,
            }),
        }
        self.sizes.push(entry.size);
        if entry.key {
            let number = u32::try_from(self.sizes.len()).unwrap_or(u32::MAX);
            self.keys.push((number, entry.dts));
        }
        let end = entry.at + u64::from(entry.size);
        match self.chunks.last_mut() {
            Some(chunk)
                if chunk.end == entry.at
                    && chunk.description == entry.description
                    && chunk.samples < CHUNK_SAMPLES =>
            {
                chunk.samples += 1;
                chunk.end = end;
            }
            _ => self.chunks.push(Chunk {
                at: entry.at,
                end,
                samples: 1,
                description: entry.description,
            }),
        }
    }

    /// Makes the last sample last until a moment.
    pub(super) fn stretch_to(&mut self, end: i64) {
        self.last_duration = (end - self.last_dts).max(1);
    }

    /// Lists no key frame whose time in the media is at or behind `length`, but for the first one.
    pub(super) fn forget_keys_behind(&mut self, length: i64) {
        let first = self.first_dts;
        self.keys
            .retain(|&(number, dts)| number == 1 || dts - first < length);
    }

    /// Notes the length of the last sample; no more may follow.
    pub(super) fn close(&mut self) {
        if !self.sizes.is_empty() {
            self.note_duration(self.last_duration);
        }
    }

    fn note_duration(&mut self, ticks: i64) {
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
        match self.durations.last_mut() {
            Some(run) if run.sample_delta == ticks => run.sample_count += 1,
            _ => self.durations.push(SttsEntry {
                sample_count: 1,
                sample_delta: ticks,
            }),
        }
    }

    /// The boxes, for data that begins at a byte of the file; `large` takes 64 bits for each place.
    pub(super) fn boxes(&self, data_at: u64, large: bool) -> Stbl {
        let places = self.chunks.iter().map(|chunk| data_at + chunk.at);
        let narrow = |at: u64| u32::try_from(at).unwrap_or(u32::MAX);
        let all_keys = self.keys.len() == self.sizes.len();
        let reordered = self.offsets.iter().any(|run| run.sample_offset != 0);
        Stbl {
            stsd: Stsd {
                codecs: self.entries.clone(),
            },
            stts: Stts {
                entries: self.durations.clone(),
            },
            ctts: reordered.then(|| Ctts {
                entries: self.offsets.clone(),
            }),
            stss: (!all_keys).then(|| Stss {
                entries: self.keys.iter().map(|&(number, _)| number).collect(),
            }),
            stsc: Stsc {
                entries: self.chunk_runs(),
            },
            stsz: Stsz {
                samples: StszSamples::Different {
                    sizes: self.sizes.clone(),
                },
            },
            stco: (!large).then(|| Stco {
                entries: places.clone().map(narrow).collect(),
            }),
            co64: large.then(|| Co64 {
                entries: places.collect(),
            }),
            ..Stbl::default()
        }
    }

    fn chunk_runs(&self) -> Vec<StscEntry> {
        let mut runs: Vec<StscEntry> = Vec::new();
        for (number, chunk) in (1_u32..).zip(&self.chunks) {
            let same = runs.last().is_some_and(|run| {
                run.samples_per_chunk == chunk.samples
                    && run.sample_description_index == chunk.description
            });
            if !same {
                runs.push(StscEntry {
                    first_chunk: number,
                    samples_per_chunk: chunk.samples,
                    sample_description_index: chunk.description,
                });
            }
        }
        runs
    }
}
