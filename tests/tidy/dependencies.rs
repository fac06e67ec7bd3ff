//! Who may depend on whom, by the manifests as cargo reads them.

use std::process::Command;

use serde_json::Value;

use crate::finding::{Finding, places};
use crate::tree::root;

/// The packages of ours that a package may name; a new edge is a change to this table.
const OURS: &[(&str, &[&str])] = &[
    ("nvr-contract", &[]),
    ("nvr-mp4", &[]),
    ("nvr-onnx", &[]),
    ("gst-plugin-*", &["nvr-contract", "nvr-mp4", "nvr-onnx"]),
    ("nvr-base", &[]),
    ("nvr-media", &["nvr-base", "nvr-contract", "nvr-mp4"]),
    ("nvr-store", &["nvr-base"]),
    // The elements are registered statically: the daemon runs without an installed plugin.
    (
        "nvrd",
        &[
            "nvr-base",
            "nvr-contract",
            "nvr-mp4",
            "nvr-onnx",
            "nvr-media",
            "nvr-store",
            "gst-plugin-*",
        ],
    ),
    ("nvr-tests", &["*"]),
    ("nvr-benches", &["*"]),
];

/// What the tests of a package may name beside that.
const OURS_IN_TESTS: &[(&str, &[&str])] = &[
    // What the gate holds back is judged by what the detector still finds.
    ("gst-plugin-decodegate", &["gst-plugin-motiondetect"]),
    // The supervisor's tests run whole cameras.
    ("nvr-media", &["gst-plugin-*"]),
    // Faces are found, tracked and made events of by others.
    ("gst-plugin-facematch", &["gst-plugin-*"]),
];

/// A framework and the packages that may name it.
const FOREIGN: &[(&str, &[&str])] = &[
    ("diesel*", &["nvr-store"]),
    ("libsqlite3-sys", &["nvr-store"]),
    ("warp", &["nvrd"]),
    ("hyper*", &["nvrd"]),
    ("utoipa*", &["nvrd"]),
    ("clap*", &["nvrd"]),
    ("mp4-atom", &["nvr-mp4"]),
    ("ed25519*", &["nvrd"]),
    ("ort", &["nvr-onnx"]),
    ("retina", &["gst-plugin-camerasrc"]),
    (
        "gstreamer*",
        &["nvr-contract", "gst-plugin-*", "nvr-media", "nvrd"],
    ),
    ("gstreamer-rtsp-server", &["nvr-media"]),
    // `retina` is asynchronous, and `camerasrc` keeps its runtime to itself.
    (
        "tokio",
        &["gst-plugin-camerasrc", "nvr-base", "nvr-media", "nvrd"],
    ),
];

/// The same, for tests alone.
const FOREIGN_IN_TESTS: &[(&str, &[&str])] = &[
    // The other side of an RTSP camera.
    ("gstreamer-rtsp-server", &["gst-plugin-camerasrc"]),
];

/// These see everything, and nothing sees them.
const TESTERS: &[&str] = &["nvr-tests", "nvr-benches"];

/// The workspace's manifests; no registry is read, so it works without a network.
pub fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version=1",
            "--no-deps",
            "--offline",
            "--locked",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs the tests, so it can be started");
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// Every edge that the tables do not allow.
pub fn check(metadata: &Value) -> Vec<Finding> {
    let packages = metadata["packages"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let names: Vec<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let base = metadata["workspace_root"].as_str().unwrap_or_default();
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let manifest = manifest.strip_prefix(base).unwrap_or(manifest);
        let manifest = manifest.trim_start_matches('/');
        if allowed(OURS, name).is_none() {
            findings.push(Finding::new(
                manifest,
                0,
                format!("`{name}` has no row in the table of packages"),
                "give it one in tests/tidy/dependencies.rs",
            ));
        }
        let edges = package["dependencies"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        for edge in edges {
            let to = edge["name"].as_str().unwrap_or_default();
            let in_tests = edge["kind"] == "dev";
            if let Some(remedy) = forbidden(name, to, in_tests, names.contains(&to)) {
                let line = line_of(manifest, to);
                findings.push(Finding::new(
                    manifest,
                    line,
                    format!("`{name}` depends on `{to}`"),
                    remedy,
                ));
            }
        }
    }
    findings
}

/// Why `from` may not name `to`, or `None` where it may.
fn forbidden(from: &str, to: &str, in_tests: bool, ours: bool) -> Option<&'static str> {
    if ours {
        let rows = [Some(OURS), in_tests.then_some(OURS_IN_TESTS)];
        let may = rows.into_iter().flatten().any(|rows| {
            allowed(rows, from).is_some_and(|may| may.iter().any(|name| matches(name, to)))
        });
        return (!may).then_some(
            "pass the fact the other way, or change the table in tests/tidy/dependencies.rs",
        );
    }
    if TESTERS.contains(&from) {
        return None;
    }
    let may = FOREIGN
        .iter()
        .filter(|(framework, _)| matches(framework, to))
        .all(|(_, may)| may.iter().any(|name| matches(name, from)))
        || in_tests
            && allowed(FOREIGN_IN_TESTS, to)
                .is_some_and(|may| may.iter().any(|name| matches(name, from)));
    (!may).then_some("this framework lives in one place: go through the package that owns it")
}

fn allowed<'a>(rows: &[(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    rows.iter()
        .find(|(pattern, _)| matches(pattern, name))
        .map(|(_, may)| *may)
}

/// `*` at the end of a pattern stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(stem) => name.starts_with(stem),
        None => name == pattern,
    }
}

/// The line of a manifest that begins with the name of a dependency, 0 if none does.
fn line_of(manifest: &str, dependency: &str) -> usize {
    let text = std::fs::read_to_string(root().join(manifest)).unwrap_or_default();
    text.lines()
        .position(|line| line.starts_with(dependency))
        .map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Checks one edge of one package named `from`.
    #[track_caller]
    fn edge(from: &str, to: &str, kind: Option<&str>, expect: bool) {
        let packages: Vec<Value> = ["gst-plugin-a", "gst-plugin-b", "gst-plugin-camerasrc", "nvr-contract"]
            .into_iter()
            .chain(["nvr-base", "nvr-media", "nvr-store", "nvrd", "nvr-tests", "nvr-benches"])
            .map(|name| {
                let edges = if name == from {
                    json!([{ "name": to, "kind": kind }])
                } else {
                    json!([])
                };
                json!({ "name": name, "manifest_path": format!("/r/{name}/Cargo.toml"), "dependencies": edges })
            })
            .collect();
        let findings = check(&json!({ "workspace_root": "/r", "packages": packages }));
        let expect: &[String] = if expect {
            &[]
        } else {
            &[format!("{from}/Cargo.toml:0")]
        };
        assert_eq!(places(findings), expect, "{from} to {to}");
    }

    #[test]
    fn edges_against_the_flow_are_found() {
        edge("gst-plugin-a", "nvr-contract", None, true);
        edge("gst-plugin-a", "gst-plugin-b", None, false);
        edge("gst-plugin-a", "gst-plugin-b", Some("dev"), false);
        edge("gst-plugin-a", "nvr-base", None, false);
        edge("nvr-media", "nvr-store", None, false);
        edge("nvr-store", "nvr-media", None, false);
        edge("nvr-store", "nvr-contract", None, false);
        edge("nvr-media", "gst-plugin-a", None, false);
        edge("nvr-media", "gst-plugin-a", Some("dev"), true);
        edge("nvrd", "gst-plugin-a", None, true);
        edge("nvrd", "nvr-tests", None, false);
        edge("nvr-benches", "nvrd", None, true);
    }

    #[test]
    fn frameworks_out_of_their_place_are_found() {
        edge("nvr-store", "diesel", None, true);
        edge("nvrd", "diesel", None, false);
        edge("nvrd", "diesel_migrations", Some("dev"), false);
        edge("nvrd", "warp", None, true);
        edge("nvr-media", "warp", None, false);
        edge("nvr-base", "gstreamer", None, false);
        edge("nvr-store", "gstreamer-video", None, false);
        edge("nvr-media", "gstreamer-rtsp-server", None, true);
        edge("nvrd", "gstreamer-rtsp-server", None, false);
        edge("gst-plugin-a", "tokio", None, false);
        edge("gst-plugin-camerasrc", "gstreamer-rtsp-server", None, false);
        edge(
            "gst-plugin-camerasrc",
            "gstreamer-rtsp-server",
            Some("dev"),
            true,
        );
        edge("nvr-tests", "gstreamer-rtsp-server", Some("dev"), true);
        edge("nvr-store", "serde", None, true);
    }

    #[test]
    fn a_package_without_a_row_is_found() {
        let metadata = json!({
            "workspace_root": "/r",
            "packages": [{ "name": "new", "manifest_path": "/r/new/Cargo.toml", "dependencies": [] }],
        });
        assert_eq!(places(check(&metadata)), ["new/Cargo.toml:0"]);
    }
}
