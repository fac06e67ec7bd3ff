//! The second factor of whoever asks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::auth::{Message, own_row};
use super::body::{Body, Hidden};
use super::context::Lane;
use super::error::ApiResult;
use super::reply::Json;

/// What an app needs to make codes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MfaSecret {
    /// The secret in base 32, to be typed in.
    secret: String,
    /// The same as an address that apps read from a picture.
    otpauth_url: String,
}

/// A code.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MfaCode {
    /// Six digits.
    code: String,
}

/// The password of whoever asks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MfaPassword {
    /// The one that counts now.
    #[schema(value_type = String, format = Password)]
    password: Hidden,
}

/// Makes a secret for codes (TOTP); it counts once a code of it was verified.
#[utoipa::path(post, path = "/api/v1/auth/mfa/setup", tag = "auth", operation_id = "mfa_setup", responses(
    (status = 200, body = MfaSecret, description = "The secret, told this once."),
    (status = 409, body = super::error::ErrorBody, description = "There is a second factor already, or nobody is logged in."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn setup(caller: Caller, []: [String; 0], (): ()) -> ApiResult<Json<MfaSecret>> {
    let row = own_row(&caller)?;
    let made = caller.run(Lane::Change, move |caller| {
        Ok(caller.auth.begin_second_factor(&row))
    });
    let (secret, uri) = made.await??;
    Ok(Json(MfaSecret {
        secret: secret.expose().to_owned(),
        otpauth_url: uri.expose().to_owned(),
    }))
}

/// Lets the secret count that was made before: from now on a code is needed to log in.
#[utoipa::path(post, path = "/api/v1/auth/mfa/verify", tag = "auth", operation_id = "mfa_verify", request_body = MfaCode,
    responses(
        (status = 200, body = Message, description = "It counts."),
        (status = 400, body = super::error::ErrorBody, description = "The code is not one of this moment."),
        (status = 409, body = super::error::ErrorBody, description = "There is nothing to verify."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn verify(
    caller: Caller,
    []: [String; 0],
    Body(body): Body<MfaCode>,
) -> ApiResult<Json<Message>> {
    let row = own_row(&caller)?;
    let done = caller.run(Lane::Change, move |caller| {
        let address = caller.address();
        Ok(caller.auth.confirm_second_factor(&row, &body.code, address))
    });
    done.await??;
    let message = "Codes are needed to log in from now on".to_owned();
    Ok(Json(Message { message }))
}

/// Takes the second factor away.
#[utoipa::path(post, path = "/api/v1/auth/mfa/disable", tag = "auth", operation_id = "mfa_disable", request_body = MfaPassword,
    responses(
        (status = 200, body = Message, description = "It is gone."),
        (status = 403, body = super::error::ErrorBody, description = "The password is not the right one."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn disable(
    caller: Caller,
    []: [String; 0],
    Body(body): Body<MfaPassword>,
) -> ApiResult<Json<Message>> {
    let row = own_row(&caller)?;
    let Hidden(password) = body.password;
    let done = caller.run(Lane::Change, move |caller| {
        let address = caller.address();
        Ok(caller.auth.drop_second_factor(&row, &password, address))
    });
    done.await??;
    let message = "No code is needed to log in any more".to_owned();
    Ok(Json(Message { message }))
}
