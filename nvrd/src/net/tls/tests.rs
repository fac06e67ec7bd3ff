//! Certificates: read, refused, made, renewed, and changed under a running listener.

use std::path::Path;
use std::sync::{Arc, Mutex};

use nvr_base::{Clock as _, SimulatedClock};

use super::*;

/// 2026-01-01 00:00 UTC.
const NOW_US: i64 = 1_767_225_600_000_000;
const DAY_US: i64 = 86_400_000_000;

/// A certificate for a name, and its key, in PEM.
fn pair(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn files(folder: &Path, (chain, key): &(String, String)) -> Source {
    let source = Source::Files {
        certificate: folder.join("c.pem"),
        key: folder.join("k.pem"),
    };
    std::fs::write(folder.join("c.pem"), chain).unwrap();
    std::fs::write(folder.join("k.pem"), key).unwrap();
    source
}

fn clock() -> Arc<SimulatedClock> {
    Arc::new(SimulatedClock::at(NOW_US))
}

#[test]
fn what_is_wrong_with_files_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (pair("a.example"), pair("b.example"));
    let check = |chain: &str, key: &str, expect: &str| {
        let source = files(folder.path(), &(chain.to_owned(), key.to_owned()));
        let error = Tls::open(source, clock()).unwrap_err().to_string();
        assert!(error.starts_with(expect), "{error}");
        assert!(!error.contains("PRIVATE"), "{error}");
    };
    let c = folder.path().join("c.pem").display().to_string();
    let k = folder.path().join("k.pem").display().to_string();
    check(
        "",
        &a.1,
        &format!("tls.certificate: {c}: there is no certificate in it"),
    );
    check(
        &a.1,
        &a.1,
        &format!("tls.certificate: {c}: there is no certificate in it"),
    );
    check(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        &a.1,
        &format!("tls.certificate: {c}: it is no certificate"),
    );
    check(
        &a.0,
        "",
        &format!("tls.key: {k}: there is no private key in it"),
    );
    check(
        &a.0,
        &b.1,
        &format!("tls.key: {k}: it is not the key of the certificate"),
    );
    std::fs::remove_file(&k).unwrap();
    let gone = Source::Files {
        certificate: c.into(),
        key: k.clone().into(),
    };
    let error = Tls::open(gone, clock()).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("tls.key: {k}: No such file")),
        "{error}"
    );
}

#[test]
fn a_new_pair_is_taken_once_it_is_whole_and_a_broken_one_never() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (pair("old.example"), pair("new.example"));
    let tls = Tls::open(files(folder.path(), &old), clock()).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    tls.follow(move |certificate| {
        hears
            .lock()
            .unwrap()
            .extend(certificate.facts().names.clone());
    });
    let look = |expect: &str| {
        tls.look();
        tls.look();
        assert_eq!(tls.certificate().facts().names, [expect]);
    };
    look("old.example");
    // Half of the change is there: the certificate, without its key.
    std::fs::write(folder.path().join("c.pem"), &new.0).unwrap();
    look("old.example");
    assert!(tls.reload().is_err());
    std::fs::write(folder.path().join("k.pem"), &new.1).unwrap();
    look("new.example");
    std::fs::remove_file(folder.path().join("k.pem")).unwrap();
    look("new.example");
    assert_eq!(*heard.lock().unwrap(), ["old.example", "new.example"]);
}

#[test]
fn one_of_our_own_is_made_once_and_renewed_before_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let listens = ["10.0.0.5:8000".parse().unwrap()];
    let source = |more: &[&str]| Source::SelfSigned {
        folder: folder.path().join("tls"),
        names: Names::of(
            &listens,
            &more
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>(),
        ),
    };
    let open = |more: &[&str]| Tls::open(source(more), clock.clone()).unwrap();
    let first = open(&[]).certificate();
    let facts = first.facts();
    for name in ["localhost", "127.0.0.1", "::1", "10.0.0.5"] {
        assert!(
            facts.names.iter().any(|found| found == name),
            "{:?}",
            facts.names
        );
    }
    assert!(
        facts.self_signed && facts.is_valid_at(NOW_US) && facts.is_valid_at(NOW_US - DAY_US / 2)
    );
    assert_eq!(facts.days_left(NOW_US), 396);
    assert_eq!(open(&[]).certificate().facts(), facts);
    // A key that only its owner may read.
    let key = folder.path().join("tls/self-signed.key");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&key).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    // A further name, a broken file and the end of its time each make a new one.
    let named = open(&["nvr.example"]).certificate();
    assert!(named.facts().names.contains(&"nvr.example".to_owned()));
    std::fs::write(&key, "gone").unwrap();
    let tls = open(&["nvr.example"]);
    assert_ne!(tls.certificate().facts(), named.facts());
    let before = tls.certificate();
    clock.advance(std::time::Duration::from_secs(360 * 86_400));
    tls.look();
    assert_eq!(tls.certificate().facts(), before.facts());
    clock.advance(std::time::Duration::from_secs(10 * 86_400));
    tls.look();
    assert!(tls.certificate().facts().days_left(clock.unix_us()) > 300);
    let error = Tls::open(source(&["ä ö"]), clock.clone())
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("tls.names: "), "{error}");
}
