//! `/system/ssl-status`: whether the listener encrypts, and how long its certificate lasts.

use serde::Serialize;
use utoipa::ToSchema;

use super::access::Caller;
use super::error::ApiResult;
use super::reply::Json;
use super::time::rfc3339;

/// The encryption of the listener and its certificate.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct SslStatus {
    /// Whether this listener speaks TLS.
    ssl_enabled: bool,
    /// Whether there is a certificate and its time has begun and is not over.
    certificate_valid: bool,
    /// Whose certificate it is.
    subject: Option<String>,
    /// Who signed it.
    issuer: Option<String>,
    /// Since when it is valid, RFC 3339 in UTC.
    not_before: Option<String>,
    /// Until when it is valid, RFC 3339 in UTC.
    not_after: Option<String>,
    /// Until when it is valid, microseconds since 1970-01-01 UTC.
    not_after_unix_us: Option<i64>,
    /// Whole days until then; negative when it is over.
    days_until_expiry: Option<i64>,
    /// Whether it was signed with its own key, so that clients have to be told to trust it.
    self_signed: Option<bool>,
    /// The names and addresses it is for.
    names: Vec<String>,
    /// SHA-256 of the certificate, to compare with what a client shows.
    fingerprint_sha256: Option<String>,
    /// Versions of TLS that are spoken.
    tls_versions: Vec<&'static str>,
}

/// Whether the API is encrypted, and with which certificate.
#[utoipa::path(get, path = "/api/v1/system/ssl-status", tag = "system", operation_id = "ssl_status", responses(
    (status = 200, body = SslStatus, description = "How it is."),
    (status = "default", body = super::error::ErrorBody, description = "Any failure."),
))]
pub(super) async fn get(caller: Caller, []: [String; 0], (): ()) -> ApiResult<Json<SslStatus>> {
    let Some(tls) = &caller.tls else {
        return Ok(Json(SslStatus::default()));
    };
    let certificate = tls.certificate();
    let facts = certificate.facts();
    let now_us = caller.clock.unix_us();
    Ok(Json(SslStatus {
        ssl_enabled: true,
        certificate_valid: facts.is_valid_at(now_us),
        subject: Some(facts.subject.clone()),
        issuer: Some(facts.issuer.clone()),
        not_before: rfc3339(facts.not_before_us),
        not_after: rfc3339(facts.not_after_us),
        not_after_unix_us: Some(facts.not_after_us),
        days_until_expiry: Some(facts.days_left(now_us)),
        self_signed: Some(facts.self_signed),
        names: facts.names.clone(),
        fingerprint_sha256: Some(facts.sha256.clone()),
        tls_versions: vec!["TLSv1.2", "TLSv1.3"],
    }))
}
