//! People and programs: who gets in, what ends, and what is never told.
#![allow(
    clippy::too_many_lines,
    reason = "a story is easier to follow in one piece"
)]

use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, World, routes};

pub(super) const PASSWORD: &str = "correct horse battery";

/// A request with headers.
pub(super) async fn ask(
    world: &World,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Answer {
    let mut request = warp::test::request()
        .method(method)
        .path(path)
        .header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    Answer::of(request.reply(&routes(world.context.clone())).await)
}

impl World {
    /// Makes a user as whoever manages, and gives the answer.
    pub(super) async fn add_user(&self, token: Option<&str>, body: &Value) -> Value {
        let bearer = format!("Bearer {}", token.unwrap_or_default());
        let headers = [("authorization", bearer.as_str())];
        let headers = if token.is_some() { &headers[..] } else { &[] };
        let made = ask(self, "POST", "/api/v1/users", headers, Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()
    }

    /// Makes the first user, `root`, and logs in.
    pub(super) async fn root(&self) -> String {
        let root = json!({"username": "root", "password": PASSWORD, "role": "admin"});
        self.add_user(None, &root).await;
        self.token("root").await
    }

    /// Logs a user in and gives a token for requests.
    pub(super) async fn token(&self, user: &str) -> String {
        let body = json!({"username": user, "password": PASSWORD});
        let answer = ask(self, "POST", "/api/v1/auth/login", &[], Some(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// Asks with a token.
    pub(super) async fn with_token(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let bearer = format!("Bearer {token}");
        ask(self, method, path, &[("authorization", &bearer)], body).await
    }

    /// Makes a key and gives it with its id.
    pub(super) async fn add_key(&self, token: &str, body: &Value) -> (String, String) {
        let made = self
            .with_token(token, "POST", "/api/v1/api-keys", Some(body))
            .await;
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("key"), text("id"))
    }
}

#[tokio::test]
async fn the_door_closes_with_the_first_user() {
    let world = World::new();
    assert_eq!(
        world.json("/api/v1/auth/setup-status").await,
        json!({"setup_required": true, "open": true})
    );
    assert_eq!(world.json("/api/v1/auth/me").await["username"], "local");
    let refused = json!({"username": "v", "password": PASSWORD, "role": "viewer"});
    world
        .send("POST", "/api/v1/users", &refused)
        .await
        .assert_refused(409, "role: the first user must be an active admin");
    let token = world.root().await;
    let closed = world.ask("GET", "/api/v1/cameras").await;
    closed.assert_refused(401, "Not authenticated");
    assert_eq!(closed.header("www-authenticate"), Some("Bearer"));
    assert_eq!(
        closed.text(),
        r#"{"detail":"Not authenticated","status_code":401}"#
    );
    assert_eq!(
        world.json("/api/v1/auth/setup-status").await,
        json!({"setup_required": false, "open": false})
    );
    let me = world
        .with_token(&token, "GET", "/api/v1/auth/me", None)
        .await
        .json();
    assert_eq!(
        (&me["username"], &me["role"], &me["cameras"]),
        (&json!("root"), &json!("admin"), &Value::Null)
    );
    for path in ["/openapi.json", "/docs", "/api/v1/system/health"] {
        let answer = world.ask("GET", path).await;
        assert!(answer.status < 400, "{path}");
    }
}

#[tokio::test]
async fn programs_log_in_with_a_form_or_json() {
    let world = World::new();
    world.root().await;
    let form = |body: &'static str| {
        warp::test::request()
            .method("POST")
            .path("/api/v1/auth/login")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("host", "localhost")
            .body(body)
    };
    let api = routes(world.context.clone());
    let good = "grant_type=password&username=root&password=correct+horse%20battery&scope=&client_id=&client_secret=";
    let answer = Answer::of(form(good).reply(&api).await);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let token = answer.json();
    assert_eq!(
        (
            &token["token_type"],
            &token["expires_in"],
            &token["device_token"]
        ),
        (&json!("bearer"), &json!(1800), &Value::Null)
    );
    for key in [
        "id",
        "username",
        "email",
        "role",
        "is_active",
        "created_at",
        "last_login",
        "invited_by",
        "invited_at",
    ] {
        assert!(
            token["user"].as_object().unwrap().contains_key(key),
            "{key}"
        );
    }
    assert_eq!(answer.header("set-cookie"), None);
    for (bad, detail) in [
        ("username=root", "missing field `password`"),
        (
            "username=root&username=a&password=b",
            "username: given twice",
        ),
        ("username=root&password=b&x=y", "unknown field `x`"),
        (
            "username=root&password=b&grant_type=client_credentials",
            "grant_type: use password",
        ),
    ] {
        Answer::of(form(bad).reply(&api).await).assert_refused(400, detail);
    }
    let body = json!({"username": "ROOT", "password": PASSWORD});
    let json = ask(&world, "POST", "/api/v1/auth/login-json", &[], Some(&body)).await;
    assert_eq!(json.status, 200);
    let text = warp::test::request()
        .method("POST")
        .path("/api/v1/auth/login")
        .header("content-type", "text/plain")
        .body("{}");
    assert_eq!(text.reply(&api).await.status(), 415);
    // As a cookie, the way some dashboards keep it.
    let cookie = format!(
        "x=1; access_token={}",
        json.json()["access_token"].as_str().unwrap()
    );
    let me = ask(
        &world,
        "GET",
        "/api/v1/auth/me",
        &[("cookie", &cookie)],
        None,
    )
    .await;
    assert_eq!(me.status, 200);
}

#[tokio::test]
async fn wrong_log_ins_are_all_alike_and_soon_too_many() {
    let world = World::new();
    world.root().await;
    let log_in = |name: &'static str, password: &'static str| {
        let world = &world;
        async move {
            let body = json!({"username": name, "password": password});
            ask(world, "POST", "/api/v1/auth/login-json", &[], Some(&body)).await
        }
    };
    let unknown = log_in("nobody", PASSWORD).await;
    let wrong = log_in("root", "wrong horse battery").await;
    assert_eq!(unknown.text(), wrong.text());
    wrong.assert_refused(401, "Incorrect username or password");
    for _ in 0..3 {
        log_in("root", "x").await.assert_refused(401, "Incorrect");
    }
    // Also the right one waits now, from here and as this user.
    let late = log_in("root", PASSWORD).await;
    late.assert_refused(429, "Too many attempts");
    assert_eq!(late.header("retry-after"), Some("12"));
    world.clock.advance(Duration::from_secs(12));
    assert_eq!(log_in("root", PASSWORD).await.status, 200);
    let lines = world
        .context
        .store
        .audits(&Default::default(), Default::default());
    let lines = lines.unwrap().items;
    let failed = lines.iter().filter(|line| line.entry.refused).count();
    assert_eq!(failed, 5);
    assert!(!format!("{lines:?}").contains("horse"));
}

#[tokio::test]
async fn renewal_is_good_once_and_a_replay_ends_the_session() {
    let world = World::new();
    world.root().await;
    let body = json!({"username": "root", "password": PASSWORD});
    let first = ask(&world, "POST", "/api/v1/auth/login", &[], Some(&body))
        .await
        .json();
    let renew = |token: &Value| {
        let (world, body) = (&world, json!({"refresh_token": token}));
        async move { ask(world, "POST", "/api/v1/auth/refresh", &[], Some(&body)).await }
    };
    let second = renew(&first["refresh_token"]).await;
    assert_eq!(second.status, 200, "{}", second.text());
    let second = second.json();
    let me = |token: &Value| {
        let (world, token) = (&world, token.as_str().unwrap().to_owned());
        async move {
            world
                .with_token(&token, "GET", "/api/v1/auth/me", None)
                .await
                .status
        }
    };
    assert_eq!(me(&second["access_token"]).await, 200);
    // A token for requests renews nothing, and the other way round.
    renew(&second["access_token"])
        .await
        .assert_refused(401, "Invalid token");
    assert_eq!(me(&second["refresh_token"]).await, 401);
    renew(&first["refresh_token"])
        .await
        .assert_refused(401, "Invalid token");
    assert_eq!(me(&second["access_token"]).await, 401);
    renew(&second["refresh_token"])
        .await
        .assert_refused(401, "Invalid token");

    let third = ask(&world, "POST", "/api/v1/auth/login", &[], Some(&body))
        .await
        .json();
    world.clock.advance(Duration::from_secs(1800));
    assert_eq!(me(&third["access_token"]).await, 401);
    let fourth = renew(&third["refresh_token"]).await.json();
    assert_eq!(me(&fourth["access_token"]).await, 200);
}

#[tokio::test]
async fn what_is_revoked_stops_at_once() {
    let world = World::new();
    let root = world.root().await;
    let viewer = json!({"username": "vera", "password": PASSWORD, "role": "viewer"});
    let vera = world.add_user(Some(&root), &viewer).await;
    let path = format!("/api/v1/users/{}", vera["id"].as_str().unwrap());
    let token = world.token("vera").await;
    let events = async |token: &str| {
        world
            .with_token(token, "GET", "/api/v1/events", None)
            .await
            .status
    };
    assert_eq!(events(&token).await, 200);
    assert_eq!(
        world
            .with_token(&token, "GET", "/api/v1/users", None)
            .await
            .status,
        403
    );
    assert_eq!(
        world
            .with_token(&token, "POST", "/api/v1/auth/logout", None)
            .await
            .status,
        200
    );
    assert_eq!(events(&token).await, 401);

    let token = world.token("vera").await;
    let change = async |body: Value| {
        let answer = world.with_token(&root, "PUT", &path, Some(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    change(json!({"is_active": false})).await;
    assert_eq!(events(&token).await, 401);
    let body = json!({"username": "vera", "password": PASSWORD});
    ask(&world, "POST", "/api/v1/auth/login", &[], Some(&body))
        .await
        .assert_refused(403, "Account disabled");
    change(json!({"is_active": true})).await;
    let token = world.token("vera").await;
    change(json!({"role": "admin"})).await;
    assert_eq!(
        world
            .with_token(&token, "GET", "/api/v1/users", None)
            .await
            .status,
        200
    );
    change(json!({"password": "another horse battery"})).await;
    assert_eq!(events(&token).await, 401);
    let gone = world.with_token(&root, "DELETE", &path, None).await;
    assert_eq!(gone.status, 204);
    let me = world
        .with_token(&root, "GET", "/api/v1/auth/me", None)
        .await
        .json();
    let mine = format!("/api/v1/users/{}", me["id"].as_str().unwrap());
    world
        .with_token(&root, "DELETE", &mine, None)
        .await
        .assert_refused(409, "last active admin");
    let demoted = json!({"role": "viewer"});
    world
        .with_token(&root, "PUT", &mine, Some(&demoted))
        .await
        .assert_refused(409, "last active admin");
}

#[tokio::test]
async fn a_password_that_was_made_up_must_be_changed_first() {
    let world = World::new();
    let root = world.root().await;
    let made = world
        .add_user(
            Some(&root),
            &json!({"username": "otto", "role": "operator"}),
        )
        .await;
    let temporary = made["temporary_password"].as_str().unwrap();
    assert_eq!(
        (temporary.len(), &made["must_change_password"]),
        (20, &json!(true))
    );
    let body = json!({"username": "otto", "password": temporary});
    let log_in = ask(&world, "POST", "/api/v1/auth/login", &[], Some(&body))
        .await
        .json();
    assert_eq!(log_in["must_change_password"], true);
    let token = log_in["access_token"].as_str().unwrap();
    world
        .with_token(token, "GET", "/api/v1/cameras", None)
        .await
        .assert_refused(403, "choose a password of your own first");
    let change = async |current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        world
            .with_token(token, "POST", "/api/v1/auth/change-password", Some(&body))
            .await
    };
    change("wrong", PASSWORD)
        .await
        .assert_refused(403, "not the right one");
    change(temporary, "short")
        .await
        .assert_refused(400, "new_password: use 12 characters");
    change(temporary, temporary)
        .await
        .assert_refused(400, "new_password: it is the current one");
    assert_eq!(change(temporary, PASSWORD).await.status, 200);
    assert_eq!(
        world
            .with_token(token, "GET", "/api/v1/cameras", None)
            .await
            .status,
        200
    );
    let seen = world
        .with_token(&root, "GET", "/api/v1/users", None)
        .await
        .text();
    assert!(!seen.contains(temporary) && !seen.contains("argon2"));
}

#[tokio::test]
async fn keys_do_what_their_scopes_say_and_count() {
    let world = World::new();
    let root = world.root().await;
    for (bad, detail) in [
        (
            json!({"name": "k", "scopes": []}),
            "scopes: use one or more",
        ),
        (json!({"name": "k", "scopes": ["root"]}), "scopes: \"root\""),
        (json!({"name": "", "scopes": ["admin"]}), "name: say what"),
        (
            json!({"name": "k", "scopes": ["admin"], "rate_limit_per_minute": 0}),
            "rate_limit_per_minute: 0",
        ),
        (
            json!({"name": "k", "scopes": ["admin"], "rate_limit_per_minute": 10001}),
            "rate_limit_per_minute: 10001",
        ),
        (
            json!({"name": "k", "scopes": ["admin"], "expires_at": "soon"}),
            "expires_at: \"soon\"",
        ),
        (
            json!({"name": "k", "scopes": ["admin"], "expires_at": "2020-01-01T00:00:00Z"}),
            "expires_at: it is over",
        ),
        (
            json!({"name": "k", "scopes": ["admin"], "cameras": ["A B"]}),
            "cameras: \"A B\"",
        ),
    ] {
        world
            .with_token(&root, "POST", "/api/v1/api-keys", Some(&bad))
            .await
            .assert_refused(400, detail);
    }
    let wish = json!({"name": "ha", "scopes": ["read:events"], "rate_limit_per_minute": 3,
        "expires_at": "2026-01-01T00:10:00Z"});
    let (key, id) = world.add_key(&root, &wish).await;
    assert!(key.starts_with("nvrd_") && key.len() == 37, "{key}");
    let with_key =
        async |key: &str, path: &str| ask(&world, "GET", path, &[("x-api-key", key)], None).await;
    let limits = |answer: &Answer| {
        ["limit", "remaining", "reset"].map(|name| {
            answer
                .header(&format!("x-ratelimit-{name}"))
                .unwrap_or("")
                .to_owned()
        })
    };
    let first = with_key(&key, "/api/v1/events").await;
    assert_eq!(
        (first.status, limits(&first)),
        (200, ["3", "2", "1767225660"].map(str::to_owned))
    );
    let other = with_key(&key, "/api/v1/cameras").await;
    other.assert_refused(403, "API key lacks required scopes: read:cameras");
    assert_eq!(limits(&other)[1], "1");
    world.clock.advance(Duration::from_secs(15));
    assert_eq!(limits(&with_key(&key, "/api/v1/events").await)[1], "0");
    let over = with_key(&key, "/api/v1/events").await;
    over.assert_refused(
        429,
        "Rate limit exceeded. Limit: 3/minute. Retry after 45 seconds.",
    );
    assert_eq!(
        (over.header("retry-after"), limits(&over)[1].as_str()),
        (Some("45"), "0")
    );
    world.clock.advance(Duration::from_secs(45));
    assert_eq!(with_key(&key, "/api/v1/events").await.status, 200);

    let path = format!("/api/v1/api-keys/{id}");
    let usage = world
        .with_token(&root, "GET", &format!("{path}/usage"), None)
        .await
        .json();
    assert_eq!(
        (&usage["usage_count"], &usage["rate_limit_per_minute"]),
        (&json!(4), &json!(3))
    );
    let list = world
        .with_token(&root, "GET", "/api/v1/api-keys", None)
        .await;
    assert!(!list.text().contains(&key));
    assert_eq!(list.json()["items"][0]["prefix"], key[..13]);
    for bad in [
        "",
        "nvrd_",
        "nvrd_wrongwrongwrongwrongwrongwrong12",
        &key[..36],
    ] {
        let refused = with_key(bad, "/api/v1/events").await;
        refused.assert_refused(401, "Invalid or expired API key");
        assert_eq!(refused.header("www-authenticate"), Some("ApiKey"), "{bad}");
    }
    let person = ask(
        &world,
        "GET",
        "/api/v1/auth/me",
        &[("x-api-key", &key)],
        None,
    )
    .await;
    person.assert_refused(403, "an API key cannot do this");
    let revoked = world.with_token(&root, "DELETE", &path, None).await;
    assert_eq!(
        (revoked.status, revoked.json()),
        (200, json!({"message": "API key revoked successfully"}))
    );
    assert_eq!(with_key(&key, "/api/v1/events").await.status, 401);
    assert_eq!(
        world.with_token(&root, "DELETE", &path, None).await.status,
        404
    );
    let all = world
        .with_token(&root, "GET", "/api/v1/api-keys?include_revoked=true", None)
        .await
        .json();
    assert_eq!(
        (&all["total"], &all["items"][0]["is_active"]),
        (&json!(1), &json!(false))
    );

    let (key, _) = world.add_key(&root, &wish).await;
    assert_eq!(with_key(&key, "/api/v1/events").await.status, 200);
    world.clock.advance(Duration::from_secs(600));
    with_key(&key, "/api/v1/events")
        .await
        .assert_refused(401, "Invalid or expired API key");
}

#[tokio::test]
async fn browsers_have_a_cookie_that_other_pages_cannot_use() {
    let world = World::new();
    world.root().await;
    let body = json!({"username": "root", "password": PASSWORD});
    let opened = ask(&world, "POST", "/api/v1/auth/session", &[], Some(&body)).await;
    assert_eq!(opened.status, 200, "{}", opened.text());
    let cookie = opened.header("set-cookie").unwrap().to_owned();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=2592000"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap();
    assert!(!opened.text().contains(pair.split('=').nth(1).unwrap()));
    let with = async |method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>| {
        let headers: Vec<(&str, &str)> = [("cookie", pair)]
            .into_iter()
            .chain(headers.iter().copied())
            .collect();
        ask(&world, method, path, &headers, body).await
    };
    assert_eq!(with("GET", "/api/v1/cameras", &[], None).await.status, 200);
    let camera = json!({"name": "front", "uri": "test://ball", "enabled": false});
    let create = async |headers: &[(&str, &str)]| {
        with("POST", "/api/v1/cameras", headers, Some(&camera))
            .await
            .status
    };
    let own = ("origin", "http://localhost");
    for bad in [
        &[][..],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "same-site"), own],
        &[("origin", "http://localhost.evil.example")],
    ] {
        assert_eq!(create(bad).await, 403, "{bad:?}");
    }
    let form = warp::test::request()
        .method("POST")
        .path("/api/v1/cameras")
        .header("host", "localhost")
        .header("origin", "http://localhost")
        .header("cookie", pair)
        .header("content-type", "text/plain")
        .body(camera.to_string());
    assert_eq!(
        form.reply(&routes(world.context.clone())).await.status(),
        415
    );
    let upgrade = [("upgrade", "websocket"), ("origin", "https://evil.example")];
    assert_eq!(
        with("GET", "/api/v1/cameras", &upgrade, None).await.status,
        403
    );
    assert_eq!(create(&[("sec-fetch-site", "same-origin")]).await, 201);
    for bad in [
        "x",
        "x.y",
        &format!("{}.", &pair[13..49]),
        &format!("{pair}A"),
    ] {
        let cookie = format!("nvrd_session={bad}");
        let refused = ask(
            &world,
            "GET",
            "/api/v1/cameras",
            &[("cookie", &cookie)],
            None,
        )
        .await;
        assert_eq!(refused.status, 401, "{bad}");
    }
    let list = with("GET", "/api/v1/auth/sessions", &[], None).await.json();
    assert_eq!(
        (&list["total"], &list["items"][0]["kind"]),
        (&json!(2), &json!("browser"))
    );
    let closed = with("DELETE", "/api/v1/auth/session", &[own], None).await;
    assert_eq!(closed.status, 204);
    assert!(closed.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(with("GET", "/api/v1/cameras", &[], None).await.status, 401);
}

#[tokio::test]
async fn the_set_up_link_is_good_once_and_for_a_day() {
    let world = World::new();
    let auth = world.context.auth.clone();
    let set_up = async |token: &str, name: &str, password: &str| {
        let body = json!({"token": token, "username": name, "password": password});
        ask(
            &world,
            "POST",
            "/api/v1/auth/first-time-setup",
            &[],
            Some(&body),
        )
        .await
    };
    set_up("", "root", PASSWORD)
        .await
        .assert_refused(403, "token: ");
    let old = auth.begin_setup().unwrap();
    let secret = auth.begin_setup().unwrap();
    set_up(old.expose(), "root", PASSWORD)
        .await
        .assert_refused(403, "token: ");
    set_up(secret.expose(), "root", "short")
        .await
        .assert_refused(400, "password: ");
    set_up(secret.expose(), "a b", PASSWORD)
        .await
        .assert_refused(400, "username: ");
    world.clock.advance(Duration::from_secs(86_400));
    set_up(secret.expose(), "root", PASSWORD)
        .await
        .assert_refused(403, "older than a day");
    world.clock.advance(Duration::from_secs(100));

    let secret = auth.begin_setup().unwrap();
    let page = world.ask("GET", "/setup?token=abc%22%3E").await;
    assert_eq!(
        (page.status, page.header("referrer-policy")),
        (200, Some("same-origin"))
    );
    assert!(page.text().contains("value=\"abc&quot;&gt;\"") && !page.text().contains("<script"));
    let form = |body: String| {
        warp::test::request()
            .method("POST")
            .path("/setup")
            .header("host", "localhost")
            .header("origin", "http://localhost")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    };
    let api = routes(world.context.clone());
    let short = Answer::of(
        form(format!(
            "token={}&username=root&password=x",
            secret.expose()
        ))
        .reply(&api)
        .await,
    );
    assert!(
        short.status == 400 && short.text().contains("12 characters"),
        "{}",
        short.text()
    );
    let body = format!(
        "token={}&username=root&password=correct+horse+battery",
        secret.expose()
    );
    let done = Answer::of(form(body).reply(&api).await);
    assert!(
        done.status == 200 && done.text().contains("Done"),
        "{}",
        done.text()
    );
    set_up(secret.expose(), "eve", PASSWORD)
        .await
        .assert_refused(409, "there is a user already");
    assert!(auth.begin_setup().is_none());
    assert!(
        world
            .ask("GET", "/setup")
            .await
            .text()
            .contains("is set up")
    );
    world.token("root").await;
}

#[tokio::test]
async fn a_second_factor_is_asked_for_once_it_was_shown() {
    let world = World::new();
    let root = world.root().await;
    let now = || nvr_base::Clock::unix_us(&*world.clock) / 1_000_000;
    let post =
        async |path: &str, body: Value| world.with_token(&root, "POST", path, Some(&body)).await;
    post("/api/v1/auth/mfa/verify", json!({"code": "000000"}))
        .await
        .assert_refused(409, "nothing to confirm");
    let made = world
        .with_token(&root, "POST", "/api/v1/auth/mfa/setup", None)
        .await
        .json();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(made["otpauth_url"].as_str().unwrap().contains(&secret));
    let totp = totp_rs::Builder::new()
        .with_secret(totp_rs::Secret::try_from_base32(&secret).unwrap())
        .build()
        .unwrap();
    let code = || totp.generate(now().cast_unsigned()).to_string();
    post("/api/v1/auth/mfa/verify", json!({"code": "12345"}))
        .await
        .assert_refused(400, "code: ");
    // Nothing is asked for before a code was shown.
    world.token("root").await;
    assert_eq!(
        post("/api/v1/auth/mfa/verify", json!({"code": code()}))
            .await
            .status,
        200
    );
    let log_in = async |code: Option<String>| {
        let body = json!({"username": "root", "password": PASSWORD, "code": code});
        ask(&world, "POST", "/api/v1/auth/login-json", &[], Some(&body)).await
    };
    let missing = log_in(None).await;
    missing.assert_refused(401, "code: a code");
    assert_eq!(missing.header("x-mfa-required"), Some("true"));
    log_in(Some(code()))
        .await
        .assert_refused(401, "code: it is wrong or was used before");
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(log_in(Some(code())).await.status, 200);
    log_in(Some(code()))
        .await
        .assert_refused(401, "used before");
    world.clock.advance(Duration::from_secs(120));
    post("/api/v1/auth/mfa/setup", json!({}))
        .await
        .assert_refused(409, "second factor already");
    post("/api/v1/auth/mfa/disable", json!({"password": "wrong"}))
        .await
        .assert_refused(403, "not the right one");
    assert_eq!(
        post("/api/v1/auth/mfa/disable", json!({"password": PASSWORD}))
            .await
            .status,
        200
    );
    assert_eq!(log_in(None).await.status, 200);
    // The secrets are sealed in the database.
    let row = world.context.store.users().unwrap().remove(0);
    assert!(crate::vault::Vault::is_sealed(
        row.digest.as_deref().unwrap()
    ));
}

#[tokio::test]
async fn every_change_is_in_the_audit_log() {
    let world = World::new();
    let root = world.root().await;
    let camera = json!({"name": "front", "uri": "rtsp://a:hunter22@10.0.0.5/x", "enabled": false});
    let post = async |method: &str, path: &str, body: Option<&Value>| {
        let answer = world.with_token(&root, method, path, body).await;
        assert!(answer.status < 300, "{path} {}", answer.text());
    };
    post("POST", "/api/v1/cameras", Some(&camera)).await;
    post("POST", "/api/v1/cameras/front/stop", None).await;
    post("DELETE", "/api/v1/cameras/front", None).await;
    let (key, _) = world
        .add_key(&root, &json!({"name": "ha", "scopes": ["admin"]}))
        .await;
    let made = ask(
        &world,
        "POST",
        "/api/v1/cameras",
        &[("x-api-key", &key)],
        Some(&camera),
    )
    .await;
    assert_eq!(made.status, 201);
    // What failed or only read is not there.
    assert_eq!(
        world
            .with_token(&root, "POST", "/api/v1/cameras", Some(&camera))
            .await
            .status,
        409
    );
    let log = async |query: &str| {
        let path = format!("/api/v1/audit-logs{query}");
        world.with_token(&root, "GET", &path, None).await.json()
    };
    let all = log("").await;
    let lines: Vec<String> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
            format!(
                "{} {} {} {}",
                text("actor_kind"),
                text("actor"),
                text("action"),
                text("object")
            )
        })
        .collect();
    let user = world.context.store.users().unwrap()[0].id.clone();
    let key_id = world.context.store.live_keys().unwrap()[0].id.clone();
    assert_eq!(
        lines,
        [
            format!("local local users.create {user}"),
            "user root session.open root".to_owned(),
            "user root cameras.create front".to_owned(),
            "user root cameras.stop front".to_owned(),
            "user root cameras.delete front".to_owned(),
            format!("user root api-keys.create {key_id}"),
            "key ha cameras.create front".to_owned(),
        ]
    );
    assert!(!all.to_string().contains("hunter22") && !all.to_string().contains(&key));
    assert_eq!(log("?actor=ha").await["total"], 1);
    assert_eq!(log("?action=cameras.create&limit=1").await["total"], 2);
    assert_eq!(log("?end_unix=1").await["total"], 0);
}
