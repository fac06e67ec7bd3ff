//! The machine, whatever is configured: elements of GStreamer, clock, privileges and limits.

use std::path::Path;

use nvr_base::{Clock as _, RealClock};

use super::Findings;

/// Elements of others that the recorder needs, what for, and the Debian package that brings them.
const ELEMENTS: [(&str, &str, &str); 8] = [
    (
        "rtspsrc",
        "cameras that the built-in client does not understand",
        "gstreamer1.0-plugins-good",
    ),
    ("h264parse", "recording H.264", "gstreamer1.0-plugins-bad"),
    ("h265parse", "recording H.265", "gstreamer1.0-plugins-bad"),
    (
        "avdec_h264",
        "analysis and pictures of H.264",
        "gstreamer1.0-libav",
    ),
    (
        "avdec_h265",
        "analysis and pictures of H.265",
        "gstreamer1.0-libav",
    ),
    ("videoconvert", "analysis", "gstreamer1.0-plugins-base"),
    (
        "rtph264pay",
        "serving H.264 by RTSP",
        "gstreamer1.0-plugins-good",
    ),
    (
        "rtph265pay",
        "serving H.265 by RTSP",
        "gstreamer1.0-plugins-good",
    ),
];
/// 2024-01-01; a clock before that was never set.
const PLAUSIBLE_US: i64 = 1_704_067_200_000_000;
/// Open files that the daemon needs anyhow, and for each camera.
const FILES: (u64, u64) = (256, 64);

pub(super) fn elements(findings: &mut Findings) {
    let missing: Vec<_> = ELEMENTS
        .into_iter()
        .filter(|(name, ..)| gst::ElementFactory::find(name).is_none())
        .collect();
    for (name, what_for, package) in &missing {
        findings.problem(
            "GStreamer",
            format!("the element {name} is missing: it is needed for {what_for}"),
            &format!("apt-get install {package}"),
        );
    }
    if missing.is_empty() {
        let (major, minor, micro, _) = gst::version();
        findings.ok(
            "GStreamer",
            format!("{major}.{minor}.{micro}, with every element that is needed"),
        );
    }
}

pub(super) fn clock(findings: &mut Findings) {
    let now_us = RealClock::new().unix_us();
    let now = super::super::people(now_us);
    if now_us < PLAUSIBLE_US {
        findings.problem(
            "clock",
            format!("it says {now}, which is long ago"),
            "set it and keep it right: apt-get install systemd-timesyncd, or chrony",
        );
        return;
    }
    let synchronised = [
        "/run/systemd/timesync/synchronized",
        "/run/chrony/chronyd.pid",
        "/run/ntpd.pid",
    ];
    match synchronised.iter().any(|file| Path::new(file).exists()) {
        true => findings.ok("clock", format!("{now}, kept right by a time server")),
        false => findings.warning(
            "clock",
            format!("{now}; nothing seems to keep it right"),
            "keep it right: apt-get install systemd-timesyncd, or chrony; in a container that is the host's business",
        ),
    }
}

pub(super) fn privileges(findings: &mut Findings) {
    match rustix::process::geteuid().is_root() {
        true => findings.warning(
            "privileges",
            "this runs as root, which the recorder needs for nothing",
            "run it as a user of its own, as the unit file does",
        ),
        false => findings.ok("privileges", "not root"),
    }
}

/// The number of files that may be open.
pub(super) fn limits(cameras: usize, findings: &mut Findings) {
    use rustix::process::{Resource, getrlimit};
    let wanted = FILES.0 + FILES.1 * cameras as u64;
    // None is no limit.
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < wanted => findings.problem(
            "limits",
            format!("{limit} files may be open, and {cameras} cameras need {wanted}"),
            "raise it: LimitNOFILE= in the unit file, or ulimit -n",
        ),
        limit => findings.ok(
            "limits",
            match limit {
                Some(limit) => format!("{limit} files may be open"),
                None => "any number of files may be open".to_owned(),
            },
        ),
    }
}
