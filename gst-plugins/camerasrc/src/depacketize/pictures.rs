//! H.264 (RFC 6184) and H.265 (RFC 7798) payloads to pictures: NAL units with four-byte lengths, parameter sets apart.

use std::time::Instant;

use super::{Fault, ParameterSets, Payload};

/// The largest picture; the largest key frames of 8K cameras have a third of it.
pub const LARGEST: usize = 16 << 20;

/// What the payloads hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// AVC.
    H264,
    /// HEVC.
    H265,
}

/// What a payload is, told by its kind.
enum Format {
    Single,
    Aggregate,
    Fragment,
}

impl Codec {
    /// The bytes of a NAL unit's header.
    pub(super) fn header(self) -> usize {
        match self {
            Self::H264 => 1,
            Self::H265 => 2,
        }
    }

    /// The kind of a NAL unit that is not empty.
    pub(super) fn kind(self, unit: &[u8]) -> u8 {
        match self {
            Self::H264 => unit[0] & 0x1f,
            Self::H265 => unit[0] >> 1 & 0x3f,
        }
    }

    /// The kinds of parameter sets, those of pictures last.
    pub(super) fn sets(self) -> &'static [u8] {
        match self {
            Self::H264 => &[7, 8],
            Self::H265 => &[32, 33, 34],
        }
    }

    fn is_slice(self, kind: u8) -> bool {
        match self {
            Self::H264 => (1..=5).contains(&kind),
            Self::H265 => kind < 32,
        }
    }

    /// Whether decoding can begin at a slice. CRA pictures count: encoders with open groups send nothing else.
    fn is_key_slice(self, kind: u8) -> bool {
        match self {
            Self::H264 => kind == 5,
            Self::H265 => (16..=23).contains(&kind),
        }
    }

    /// Delimiters and filler: nothing that is shown.
    fn is_padding(self, kind: u8) -> bool {
        match self {
            Self::H264 => kind == 9 || kind == 12,
            Self::H265 => kind == 35 || kind == 38,
        }
    }

    /// Whether a slice is the first of its picture.
    fn is_first_slice(self, unit: &[u8]) -> bool {
        // Both standards begin a slice with what is a set bit in the first one only.
        unit.get(self.header()).is_some_and(|byte| byte & 0x80 != 0)
    }

    fn format(self, kind: u8) -> Result<Format, Fault> {
        match (self, kind) {
            (Self::H264, 1..=23) | (Self::H265, 0..=47) => Ok(Format::Single),
            (Self::H264, 24) | (Self::H265, 48) => Ok(Format::Aggregate),
            (Self::H264, 28) | (Self::H265, 49) => Ok(Format::Fragment),
            _ => Err(Fault::Malformed("a payload of an unknown format")),
        }
    }
}

/// One picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// NAL units with four-byte lengths.
    pub data: Vec<u8>,
    /// When it is shown, in ticks of the stream.
    pub ticks: i64,
    /// When its first packet came.
    pub received: Instant,
    /// Decoding can begin here.
    pub key: bool,
    /// Something before it, or of it, was lost.
    pub damaged: bool,
    /// The parameter sets from here on, when they are not those of the picture before.
    pub sets: Option<ParameterSets>,
}

/// The picture that is being put together.
#[derive(Debug, Default)]
struct Unit {
    data: Vec<u8>,
    /// Where the fragmented NAL unit begins that is not complete yet.
    fragment: Option<usize>,
    slices: bool,
    other_than_key: bool,
}

/// Puts the pictures of one stream together.
#[derive(Debug)]
pub struct Pictures {
    codec: Codec,
    unit: Unit,
    /// The time stamp and the arrival of the unit's first packet.
    begin: Option<(i64, Instant)>,
    /// The rest of what has this time stamp is of no use.
    skip: Option<i64>,
    damaged: bool,
    sets: ParameterSets,
    sets_changed: bool,
    /// Bytes of the last picture without and with `key`, for room in advance.
    usual: [usize; 2],
}

impl Pictures {
    /// Before the first packet; `sets` are those that the camera's description gives.
    pub fn new(codec: Codec, sets: ParameterSets) -> Self {
        Self {
            codec,
            unit: Unit::default(),
            begin: None,
            skip: None,
            damaged: false,
            sets,
            sets_changed: true,
            usual: [0; 2],
        }
    }

    /// Takes a packet; pictures that are whole by it go to `out`.
    ///
    /// # Errors
    /// When the packet, and what it belongs to, had to be dropped; the next picture is marked as damaged.
    pub fn push(&mut self, payload: &Payload<'_>, out: &mut Vec<Picture>) -> Result<(), Fault> {
        let mut fault = Ok(());
        if payload.lost {
            self.damaged = true;
            let current = self.begin.map(|(ticks, _)| ticks);
            self.discard();
            if current == Some(payload.ticks) {
                self.skip = current;
            }
        }
        if self.begin.is_some_and(|(ticks, _)| ticks != payload.ticks) {
            if self.unit.fragment.is_some() {
                fault = Err(Fault::Malformed("a fragment without an end"));
                self.fail(None);
            } else if self.unit.slices {
                self.finish(out);
            }
            // Without slices it is what precedes this very picture, stamped by a camera that knows no better.
        }
        if self.skip == Some(payload.ticks) {
            if payload.marker {
                self.skip = None;
            }
            return fault;
        }
        self.skip = None;
        if let Some((ticks, _)) = &mut self.begin {
            *ticks = payload.ticks;
        } else {
            self.begin = Some((payload.ticks, payload.received));
        }
        if let Err(error) = self.take(payload.data) {
            self.fail((!payload.marker).then_some(payload.ticks));
            return Err(error);
        }
        if payload.marker {
            if self.unit.fragment.is_some() {
                self.fail(None);
                return Err(Fault::Malformed("a marker within a fragment"));
            }
            if self.unit.slices {
                self.finish(out);
            }
        }
        fault
    }

    fn discard(&mut self) {
        self.unit = Unit::default();
        self.begin = None;
    }

    fn fail(&mut self, skip: Option<i64>) {
        self.discard();
        self.damaged = true;
        self.skip = skip;
    }

    fn finish(&mut self, out: &mut Vec<Picture>) {
        let unit = std::mem::take(&mut self.unit);
        let Some((ticks, received)) = self.begin.take() else {
            return;
        };
        let key = !unit.other_than_key;
        let mut data = unit.data;
        if data.capacity() > 2 * data.len() {
            // Buffers may wait in memory for long.
            data.shrink_to_fit();
        }
        self.usual[usize::from(key)] = data.len();
        out.push(Picture {
            data,
            ticks,
            received,
            key,
            damaged: std::mem::take(&mut self.damaged),
            sets: std::mem::take(&mut self.sets_changed).then(|| self.sets.clone()),
        });
    }

    fn take(&mut self, mut data: &[u8]) -> Result<(), Fault> {
        // Some cameras send the start codes of a file along.
        for code in [&[0, 0, 0, 1][..], &[0, 0, 1]] {
            data = data.strip_prefix(code).unwrap_or(data);
        }
        let header = self.codec.header();
        if data.len() <= header {
            return Err(Fault::Malformed("a payload without content"));
        }
        match self.codec.format(self.codec.kind(data))? {
            Format::Single if self.unit.fragment.is_some() => {
                Err(Fault::Malformed("a unit within a fragment"))
            }
            Format::Single => self.whole(data),
            Format::Aggregate if self.unit.fragment.is_some() => {
                Err(Fault::Malformed("units within a fragment"))
            }
            Format::Aggregate => {
                let mut rest = &data[header..];
                while let Some((length, after)) = rest.split_first_chunk::<2>() {
                    let length = usize::from(u16::from_be_bytes(*length));
                    let Some((unit, after)) = after.split_at_checked(length) else {
                        return Err(Fault::Malformed("an aggregate that breaks off"));
                    };
                    self.whole(unit)?;
                    rest = after;
                }
                Ok(())
            }
            Format::Fragment => self.fragment(data),
        }
    }

    /// Takes NAL units that are whole: one, or several with start codes between them.
    fn whole(&mut self, mut unit: &[u8]) -> Result<(), Fault> {
        loop {
            if unit.len() <= self.codec.header() {
                return Err(Fault::Malformed("a unit without content"));
            }
            // Start codes are looked for where cameras put them: in what precedes the slices.
            let is_slice = self.codec.is_slice(self.codec.kind(unit));
            let code = match is_slice {
                true => None,
                false => unit.windows(3).position(|bytes| bytes == [0, 0, 1]),
            };
            let Some(at) = code else {
                return self.one(unit);
            };
            let first = &unit[..at];
            let end = first
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last + 1);
            if end > self.codec.header() {
                self.one(&first[..end])?;
            }
            unit = &unit[at + 3..];
        }
    }

    fn one(&mut self, unit: &[u8]) -> Result<(), Fault> {
        let kind = self.codec.kind(unit);
        if self.codec.sets().contains(&kind) {
            self.sets_changed |= self.sets.put(self.codec, unit);
            return Ok(());
        }
        if self.codec.is_padding(kind) {
            return Ok(());
        }
        self.room(4 + unit.len(), kind)?;
        self.slice(kind, unit)?;
        let length = u32::try_from(unit.len()).map_err(|_| Fault::TooLarge)?;
        self.unit.data.extend_from_slice(&length.to_be_bytes());
        self.unit.data.extend_from_slice(unit);
        Ok(())
    }

    /// Notes what a slice makes of its picture; other units are let pass.
    fn slice(&mut self, kind: u8, unit: &[u8]) -> Result<(), Fault> {
        if !self.codec.is_slice(kind) {
            return Ok(());
        }
        if !self.unit.slices && self.damaged && !self.codec.is_first_slice(unit) {
            return Err(Fault::Malformed("a picture whose beginning was lost"));
        }
        self.unit.slices = true;
        self.unit.other_than_key |= !self.codec.is_key_slice(kind);
        Ok(())
    }

    fn fragment(&mut self, data: &[u8]) -> Result<(), Fault> {
        let header = self.codec.header();
        let flags = data[header];
        let body = &data[header + 1..];
        let (start, end) = (flags & 0x80 != 0, flags & 0x40 != 0);
        match (start, self.unit.fragment) {
            (true, Some(_)) => return Err(Fault::Malformed("a fragment within another")),
            (false, None) => return Err(Fault::Malformed("a fragment without a beginning")),
            (true, None) => {
                let kind = match self.codec {
                    Codec::H264 => flags & 0x1f,
                    Codec::H265 => flags & 0x3f,
                };
                self.room(6 + body.len(), kind)?;
                let at = self.unit.data.len();
                self.unit.fragment = Some(at);
                self.unit.data.extend_from_slice(&[0; 4]);
                match self.codec {
                    Codec::H264 => self.unit.data.push(data[0] & 0xe0 | kind),
                    Codec::H265 => {
                        let head = data[0] & 0x81 | kind << 1;
                        self.unit.data.extend_from_slice(&[head, data[1]]);
                    }
                }
            }
            (false, Some(_)) => self.fits(body.len())?,
        }
        self.unit.data.extend_from_slice(body);
        match end {
            true => self.close_fragment(),
            false => Ok(()),
        }
    }

    fn close_fragment(&mut self) -> Result<(), Fault> {
        let Some(at) = self.unit.fragment.take() else {
            return Ok(());
        };
        let length = self.unit.data.len() - at - 4;
        if length <= self.codec.header() {
            return Err(Fault::Malformed("a unit without content"));
        }
        let kind = self.codec.kind(&self.unit.data[at + 4..]);
        if self.codec.is_slice(kind) {
            let head = self.unit.data[at + 4..][..=self.codec.header()].to_vec();
            let length = u32::try_from(length).map_err(|_| Fault::TooLarge)?;
            self.unit.data[at..at + 4].copy_from_slice(&length.to_be_bytes());
            return self.slice(kind, &head);
        }
        // What is no slice is short, and may have to be taken apart.
        let unit = self.unit.data.split_off(at + 4);
        self.unit.data.truncate(at);
        self.whole(&unit)
    }

    fn fits(&self, more: usize) -> Result<(), Fault> {
        match self.unit.data.len() + more <= LARGEST {
            true => Ok(()),
            false => Err(Fault::TooLarge),
        }
    }

    /// Makes room for a unit, and with the first slice for a picture like the last one of its kind: growing copies.
    fn room(&mut self, more: usize, kind: u8) -> Result<(), Fault> {
        self.fits(more)?;
        if !self.unit.slices && self.codec.is_slice(kind) {
            let usual = self.usual[usize::from(self.codec.is_key_slice(kind))];
            self.unit.data.reserve(more.max(usual));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "pictures_tests.rs"]
mod tests;
