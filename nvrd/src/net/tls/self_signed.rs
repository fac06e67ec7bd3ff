//! A certificate of our own, for machines that nobody gave one: made at the first start, renewed before it ends.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nvr_base::{Error, Result};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};

use super::certificate::{Certificate, Facts};

/// Days that it is valid: some clients refuse more than 398.
const DAYS: i64 = 397;
/// Days before its end from which on a new one is made.
const RENEW_DAYS: i64 = 30;
const DAY_US: i64 = 86_400_000_000;

/// The names and addresses that a certificate is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// Those of this machine, of the addresses that are listened on, and more.
    pub fn of(listens: &[SocketAddr], more: &[String]) -> Self {
        let mut names: BTreeSet<String> =
            ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        names.extend(host_name());
        for listen in listens {
            match listen.ip() {
                ip if ip.is_unspecified() => names.extend(outward(ip).map(|ip| ip.to_string())),
                ip => names.extend([ip.to_string()]),
            }
        }
        names.extend(more.iter().cloned());
        Self(names)
    }
}

/// What this machine calls itself.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    (!name.is_empty() && name.chars().all(plain)).then(|| name.to_owned())
}

/// The address that this machine has towards others; nothing is sent to find out.
fn outward(unspecified: IpAddr) -> Option<IpAddr> {
    let far = match unspecified {
        IpAddr::V4(_) => "192.0.2.1:9",
        IpAddr::V6(_) => "[2001:db8::1]:9",
    };
    let socket = UdpSocket::bind((unspecified, 0)).ok()?;
    socket.connect(far).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The files below a folder: the certificate and its key.
pub(super) fn files(folder: &Path) -> [PathBuf; 2] {
    [
        folder.join("self-signed.pem"),
        folder.join("self-signed.key"),
    ]
}

/// Whether a new one is to be made.
pub(super) fn is_due(facts: &Facts, now_us: i64) -> bool {
    !facts.is_valid_at(now_us) || facts.days_left(now_us) < RENEW_DAYS
}

/// The certificate of a folder, or a new one when there is none, it ends soon, or it lacks a name.
pub(super) fn load_or_make(folder: &Path, names: &Names, now_us: i64) -> Result<Certificate> {
    let [certificate, key] = files(folder);
    if let (Ok(chain), Ok(key)) = (std::fs::read(&certificate), std::fs::read(&key))
        && let Ok(found) = Certificate::of(&chain, &key)
        && !is_due(found.facts(), now_us)
        && names
            .0
            .iter()
            .all(|name| found.facts().names.contains(name))
    {
        return Ok(found);
    }
    let (chain_pem, key_pem) = make(names, now_us)?;
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    write(&key, key_pem.as_bytes(), 0o600)?;
    write(&certificate, chain_pem.as_bytes(), 0o644)?;
    let made = Certificate::of(chain_pem.as_bytes(), key_pem.as_bytes())
        .map_err(|(_, why)| Error::internal(format!("the certificate just made: {why}")))?;
    tracing::info!(
        fingerprint = %made.facts().sha256,
        "{}: made for {}; browsers warn of it until they are told to trust it",
        certificate.display(),
        made.facts().names.join(", ")
    );
    Ok(made)
}

fn make(names: &Names, now_us: i64) -> Result<(String, String)> {
    let failed = |error: rcgen::Error| Error::internal(format!("tls.self_signed: {error}"));
    let name =
        |name: &String| Error::invalid(format!("tls.names: {name:?} is no name of a machine"));
    for text in &names.0 {
        CertificateParams::new(vec![text.clone()]).map_err(|_| name(text))?;
    }
    let names: Vec<String> = names.0.iter().cloned().collect();
    let mut params = CertificateParams::new(names).map_err(failed)?;
    let mut subject = DistinguishedName::new();
    subject.push(
        DnType::CommonName,
        host_name().unwrap_or_else(|| "nvrd".to_owned()),
    );
    subject.push(DnType::OrganizationName, "nvrd, self-signed");
    params.distinguished_name = subject;
    // Clocks of clients are behind now and then.
    let (year, month, day) = date(now_us - DAY_US)?;
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = date(now_us + (DAYS - 1) * DAY_US)?;
    params.not_after = rcgen::date_time_ymd(year, month, day);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().map_err(failed)?;
    let made = params.self_signed(&key).map_err(failed)?;
    Ok((made.pem(), key.serialize_pem()))
}

/// Year, month and day of a moment.
fn date(unix_us: i64) -> Result<(i32, u8, u8)> {
    let day = jiff::Timestamp::from_microsecond(unix_us)
        .map_err(|error| Error::internal(format!("the clock: {error}")))?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let small = |number: i8| u8::try_from(number).expect("months and days count from 1");
    Ok((day.year().into(), small(day.month()), small(day.day())))
}

/// Writes a file whole or not at all; nobody else may read it before its mode is set.
fn write(file: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let unfinished = file.with_extension("part");
    let failed = |error| Error::io(&unfinished, error);
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&unfinished)
        .map_err(failed)?;
    opened
        .write_all(bytes)
        .and_then(|()| opened.sync_all())
        .map_err(failed)?;
    std::fs::rename(&unfinished, file).map_err(|error| Error::io(file, error))
}
