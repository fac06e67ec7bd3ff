//! What is refused, with which status and which sentence.

use serde_json::json;
use warp::Filter as _;

use super::{Answer, World, routes};

/// Method, path, status, and what the sentence holds.
#[rustfmt::skip]
const REFUSED: &[(&str, &str, u16, &str)] = &[
    ("GET", "/", 404, "nothing at this path"),
    ("GET", "/api/v1", 404, "nothing at this path"),
    ("GET", "/api/v2/cameras", 404, "nothing at this path"),
    ("GET", "/api/v1/cameras/a/b", 404, "nothing at this path"),
    ("GET", "/api/v1/cameras/%ff", 404, "nothing at this path"),
    ("GET", "/api/v1/cameras/nobody", 404, "no camera is called \"nobody\""),
    ("GET", "/api/v1/cameras/..%2f..%2fetc", 404, "no camera is called"),
    ("GET", "/api/v1/cameras/nobody/snapshot.jpg", 404, "no camera is called"),
    ("GET", "/api/v1/cameras/gate/snapshot.jpg", 503, "has sent no picture yet"),
    ("GET", "/api/v1/cameras/gate/snapshot.jpg?width=0", 400, "width: \"0\" is out of range: use 16 to 7680"),
    ("POST", "/api/v1/cameras/nobody/start", 404, "no camera is called"),
    ("POST", "/api/v1/cameras/nobody/test", 404, "no camera is called"),
    ("DELETE", "/api/v1/cameras/nobody", 404, "no camera is called"),
    ("GET", "/api/v1/events/01890a5d-ac96-774b-bcce-b302099a8057", 404, "no event has the id"),
    ("GET", "/api/v1/events/..%2f", 404, "no event has the id"),
    ("DELETE", "/api/v1/events/01890a5d-ac96-774b-bcce-b302099a8057", 404, "no event has the id"),
    ("GET", "/api/v1/events/01890a5d-ac96-774b-bcce-b302099a8057/thumbnail", 404, "no event has the id"),
    ("GET", "/api/v1/recordings/nobody", 404, "no camera is called"),
    ("GET", "/api/v1/recordings/..", 404, "no camera is called"),
    ("GET", "/api/v1/recordings/front/01890a5d-ac96-774b-bcce-b302099a8057/file.mp4", 404, "no segment has the id"),
    ("GET", "/docs/nothing.js", 404, "has no file \"nothing.js\""),
    ("PUT", "/api/v1/events", 405, "PUT is not possible here: use GET, POST, HEAD"),
    ("DELETE", "/api/v1/system/health", 405, "use GET, HEAD"),
    ("POST", "/api/v1/cameras/gate", 405, "use GET, PUT, PATCH, DELETE, HEAD"),
    ("BREW", "/api/v1/cameras", 405, "BREW is not possible here: use GET, POST, HEAD"),
    ("GET", "/api/v1/cameras?page=0", 400, "page: \"0\" is out of range"),
    ("GET", "/api/v1/cameras?limit=1000", 400, "limit: \"1000\" is out of range: use 1 to 500"),
    ("GET", "/api/v1/cameras?sort=name", 400, "unknown parameter `sort`"),
    ("GET", "/api/v1/events?limit=501", 400, "limit: \"501\""),
    ("GET", "/api/v1/events?page=-1", 400, "page: \"-1\""),
    ("GET", "/api/v1/events?min_score=NaN", 400, "min_score: \"NaN\" is out of range: use 0 to 1"),
    ("GET", "/api/v1/events?start_unix=yesterday", 400, "start_unix: \"yesterday\""),
    ("GET", "/api/v1/events?end_unix=1e300", 400, "end_unix: \"1e300\""),
    ("GET", "/api/v1/events?state=ended", 400, "state: \"ended\": use open or closed"),
    ("GET", "/api/v1/events?kind=a&kind=b", 400, "kind: given twice"),
    ("GET", "/api/v1/events?search=a%00b", 400, "search must not hold a NUL"),
    ("GET", "/api/v1/recordings/gate?start_unix=2&end_unix=1", 400, "start_unix: is not before end_unix"),
    ("GET", "/api/v1/recordings/gate?limit=0", 400, "limit: \"0\""),
];

#[tokio::test]
async fn what_is_not_there_is_said_in_one_shape() {
    let world = World::new();
    for (method, path, status, detail) in REFUSED {
        let answer = world.ask(method, path).await;
        println!("{method} {path}");
        answer.assert_refused(*status, detail);
    }
}

#[tokio::test]
async fn bodies_are_checked_before_they_are_read() {
    let world = World::new();
    let api = routes(world.context.clone());
    let post = || warp::test::request().method("POST").path("/api/v1/cameras");

    let large = "x".repeat((1 << 20) + 1);
    let answer = Answer::of(
        post()
            .header("content-type", "application/json")
            .body(large)
            .reply(&api)
            .await,
    );
    answer.assert_refused(413, "larger than 1048576 bytes");
    Answer::of(post().reply(&api).await).assert_refused(411, "Content-Length");
    Answer::of(post().body("{}").reply(&api).await).assert_refused(415, "use application/json");
    let form = post().header("content-type", "text/plain").body("{}");
    Answer::of(form.reply(&api).await).assert_refused(415, "use application/json");
    let cut = post()
        .header("content-type", "application/json")
        .body("{\"name\":");
    Answer::of(cut.reply(&api).await).assert_refused(400, "EOF");

    for (body, detail) in [
        (json!([]), "body: "),
        (json!({"name": "a"}), "missing field `uri`"),
        (
            json!({"name": 5, "uri": "test://ball"}),
            "name: invalid type: integer `5`",
        ),
        (
            json!({"name": "a", "url": "test://ball"}),
            "unknown field `url`",
        ),
        (
            json!({"name": "a", "uri": "test://ball", "params": {"b": []}}),
            "params.b: use a number",
        ),
        (
            json!({"name": "//", "uri": "test://ball"}),
            "name: \"\" is no camera name",
        ),
        (
            json!({"name": "a", "uri": "http://10.0.0.1/"}),
            "uri: http:// is not spoken",
        ),
        (
            json!({"name": "a", "uri": "test://ball", "pipeline": "none"}),
            "pipeline \"none\" does not exist",
        ),
        (
            json!({"name": "a", "uri": "test://ball", "params": {"speed": 1}}),
            "speed",
        ),
        (
            json!({"name": "a", "uri": "test://ball", "user": "a\u{0}"}),
            "user: holds a control character",
        ),
    ] {
        let answer = world.send("POST", "/api/v1/cameras", &body).await;
        println!("{body}");
        answer.assert_refused(400, detail);
    }
}

#[tokio::test]
async fn pages_of_others_are_kept_out() {
    let world = World::new();
    let api = routes(world.context.clone());
    let check = async |method: &str, headers: &[(&str, &str)], expect: Option<&str>| {
        let mut request = warp::test::request()
            .method(method)
            .path("/api/v1/cameras/gate");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = Answer::of(request.reply(&api).await);
        match expect {
            Some(detail) => answer.assert_refused(403, detail),
            None => assert_ne!(answer.status, 403, "{method} {headers:?}"),
        }
    };
    check("GET", &[("host", "localhost:8000")], None).await;
    check("GET", &[("host", "[::1]:8000")], None).await;
    check(
        "GET",
        &[("host", "evil.example:8000")],
        Some("Host: evil.example:8000 is not this machine"),
    )
    .await;
    check(
        "DELETE",
        &[
            ("host", "localhost:8000"),
            ("origin", "http://localhost:8000"),
        ],
        None,
    )
    .await;
    check(
        "DELETE",
        &[
            ("host", "localhost:8000"),
            ("origin", "https://evil.example"),
        ],
        Some("Origin: "),
    )
    .await;
    let bad = warp::test::request()
        .path("/api/v1/cameras")
        .header("host", "a b")
        .reply(&api)
        .await;
    Answer::of(bad).assert_refused(400, "Host: the header cannot be read");
}

#[tokio::test]
async fn head_and_options_are_answered() {
    let world = World::new();
    for path in [
        "/api/v1/cameras",
        "/api/v1/system/health",
        "/openapi.json",
        "/api/v1/events",
        "/docs/index.html",
    ] {
        let whole = world.ask("GET", path).await;
        let head = world.ask("HEAD", path).await;
        assert_eq!(
            (head.status, head.response.body().len()),
            (200, 0),
            "{path}"
        );
        let length = whole.response.body().len().to_string();
        assert_eq!(
            head.header("content-length"),
            Some(length.as_str()),
            "{path}"
        );
    }
    let options = world.ask("OPTIONS", "/api/v1/cameras").await;
    assert_eq!(
        (options.status, options.header("allow")),
        (204, Some("GET, POST, HEAD"))
    );
    assert_eq!(world.ask("OPTIONS", "/nothing").await.status, 404);
    let refused = world.ask("PUT", "/api/v1/cameras").await;
    assert_eq!(refused.header("allow"), Some("GET, POST, HEAD"));
    assert_eq!(refused.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn the_filter_always_answers() {
    let world = World::new();
    let api =
        routes(world.context.clone()).map(|response: warp::reply::Response| response.status());
    assert_eq!(
        warp::test::request().path("/%").filter(&api).await,
        Ok(warp::http::StatusCode::NOT_FOUND)
    );
}
