//! The head of an export: `ftyp`, `moov` and the first bytes of `mdat`.

use mp4_atom::{
    Dinf, Dref, DrefEntry, Edts, Elst, ElstEntry, Encode, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf,
    Moov, Mvhd, Smhd, Tkhd, Trak, Url, Vmhd,
};

use super::table::Table;
use crate::fmp4::{AUDIO_TRACK, VIDEO_TRACK, mp4_seconds};

/// What the head says.
pub(super) struct Movie<'a> {
    pub start_unix_us: i64,
    /// Length of the range in ticks of the video track, which are those of the movie too.
    pub end: i64,
    pub size: (u32, u32),
    pub video: &'a Table,
    pub audio: Option<&'a Table>,
    pub data_bytes: u64,
}

/// The bytes before the first sample.
pub(super) fn head(movie: &Movie<'_>) -> Result<Vec<u8>, mp4_atom::Error> {
    let mut out = Vec::new();
    Ftyp {
        major_brand: FourCC::new(b"isom"),
        minor_version: 0x200,
        compatible_brands: [b"isom", b"iso4", b"mp41", b"mp42"]
            .map(FourCC::new)
            .to_vec(),
    }
    .encode(&mut out)?;
    // The header's own length does not depend on where the data lies, but on how wide the places are.
    let front = out.len() as u64 + 16;
    let length = |large| -> Result<u64, mp4_atom::Error> {
        let mut sized = Vec::new();
        moov(movie, 0, large).encode(&mut sized)?;
        Ok(front + sized.len() as u64)
    };
    let narrow = length(false)?;
    let large = narrow + movie.data_bytes > u64::from(u32::MAX);
    let data_at = if large { length(true)? } else { narrow };
    moov(movie, data_at, large).encode(&mut out)?;
    out.extend_from_slice(&1_u32.to_be_bytes());
    out.extend_from_slice(b"mdat");
    out.extend_from_slice(&(movie.data_bytes + 16).to_be_bytes());
    Ok(out)
}

fn moov(movie: &Movie<'_>, data_at: u64, large: bool) -> Moov {
    let created = mp4_seconds(movie.start_unix_us);
    let mut trak = vec![video_trak(movie, created, data_at, large)];
    trak.extend(
        movie
            .audio
            .map(|audio| audio_trak(movie, audio, created, data_at, large)),
    );
    Moov {
        mvhd: Mvhd {
            creation_time: created,
            modification_time: created,
            timescale: movie.video.timescale(),
            duration: positive(movie.end),
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: AUDIO_TRACK + 1,
            ..Mvhd::default()
        },
        trak,
        ..Moov::default()
    }
}

fn video_trak(movie: &Movie<'_>, created: u64, data_at: u64, large: bool) -> Trak {
    let table = movie.video;
    let (width, height) = movie.size;
    let narrow = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    let first = table.first_pts().max(0);
    Trak {
        tkhd: Tkhd {
            track_id: VIDEO_TRACK,
            width: narrow(width).into(),
            height: narrow(height).into(),
            duration: positive(movie.end),
            ..track_header(created)
        },
        edts: Some(edits(first, table.origin() + first, movie.end - first)),
        mdia: Mdia {
            mdhd: media_header(created, table),
            hdlr: handler(b"vide", "video"),
            minf: Minf {
                vmhd: Some(Vmhd::default()),
                dinf: data_information(),
                stbl: table.boxes(data_at, large),
                ..Minf::default()
            },
        },
        ..Trak::default()
    }
}

fn audio_trak(movie: &Movie<'_>, table: &Table, created: u64, data_at: u64, large: bool) -> Trak {
    let first = table.first_pts().max(0);
    // Ticks of the movie.
    let scaled = |ticks: i64| {
        let ns = i128::from(ticks) * 1_000_000_000 / i128::from(table.timescale());
        movie.video.ticks(ns)
    };
    let (empty, until) = (scaled(first), scaled(table.end()).min(movie.end));
    Trak {
        tkhd: Tkhd {
            track_id: AUDIO_TRACK,
            alternate_group: 1,
            volume: 1.into(),
            duration: positive(until),
            ..track_header(created)
        },
        edts: Some(edits(empty, table.origin() + first, until - empty)),
        mdia: Mdia {
            mdhd: media_header(created, table),
            hdlr: handler(b"soun", "audio"),
            minf: Minf {
                smhd: Some(Smhd::default()),
                dinf: data_information(),
                stbl: table.boxes(data_at, large),
                ..Minf::default()
            },
        },
        ..Trak::default()
    }
}

/// Nothing for a while, then the media from a time on.
fn edits(empty: i64, media_time: i64, duration: i64) -> Edts {
    let edit = |media_time, duration| ElstEntry {
        segment_duration: positive(duration),
        media_time,
        media_rate: 1.into(),
    };
    let mut entries = Vec::new();
    if empty > 0 {
        entries.push(edit(None, empty));
    }
    entries.push(edit(Some(positive(media_time)), duration));
    Edts {
        elst: Some(Elst { entries }),
    }
}

fn positive(ticks: i64) -> u64 {
    u64::try_from(ticks).unwrap_or(0)
}

fn track_header(created: u64) -> Tkhd {
    Tkhd {
        creation_time: created,
        modification_time: created,
        enabled: true,
        in_movie: true,
        ..Tkhd::default()
    }
}

fn media_header(created: u64, table: &Table) -> Mdhd {
    Mdhd {
        creation_time: created,
        modification_time: created,
        timescale: table.timescale(),
        duration: table.media_duration(),
        language: "und".to_owned(),
    }
}

fn handler(kind: &[u8; 4], name: &str) -> Hdlr {
    Hdlr {
        handler: FourCC::new(kind),
        name: name.to_owned(),
    }
}

fn data_information() -> Dinf {
    Dinf {
        dref: Dref {
            entries: vec![DrefEntry::Url(Url::default())],
        },
    }
}
