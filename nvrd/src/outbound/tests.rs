//! The guard against everything that tries to get around it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use http::Method;
use http::header::{AUTHORIZATION, HeaderValue};
use nvr_base::ErrorKind;

use super::stub::{Stub, Told};
use super::*;

/// Names with the addresses that each question about them gets, one after the other; the last one stays.
#[derive(Debug, Default)]
struct Doubles(Mutex<HashMap<String, Vec<Vec<IpAddr>>>>);

impl Doubles {
    fn of(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let address = |text: &&str| text.parse().unwrap();
        let answers = |answers: &[&[&str]]| {
            answers
                .iter()
                .map(|answer| answer.iter().map(address).collect())
                .collect()
        };
        let names = names
            .iter()
            .map(|(name, list)| ((*name).to_owned(), answers(list)));
        Arc::new(Self(Mutex::new(names.collect())))
    }
}

impl Names for Doubles {
    fn addresses(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        let mut names = self.0.lock().unwrap();
        let Some(answers) = names.get_mut(name) else {
            return Err(std::io::ErrorKind::NotFound.into());
        };
        match answers.len() {
            1 => Ok(answers[0].clone()),
            _ => Ok(answers.remove(0)),
        }
    }
}

fn guard(allow: &[&str]) -> Outbound {
    let config = OutboundConfig {
        allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
        ca_file: None,
    };
    Outbound::new(&config).unwrap()
}

fn get(url: &str) -> Call {
    Call::new(Method::GET, url.parse().unwrap())
}

#[test]
fn urls_that_lead_nowhere_good_are_refused_by_their_text() {
    let guard = guard(&[]);
    let check = |url: &str, says: &str| {
        let error = guard.check_url("base_url", url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let text = error.to_string();
        assert!(
            text.starts_with("base_url: ") && text.contains(says),
            "{url}: {text}"
        );
    };
    for url in [
        "http://127.0.0.1/",
        "http://127.0.0.1:9100/x",
        "https://[::1]/",
        "http://[::ffff:127.0.0.1]",
        "http://[::ffff:7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::127.0.0.1]/",
        "http://[2002:7f00:1::]/",
    ] {
        check(url, "loopback");
    }
    check("http://169.254.169.254/latest/meta-data", "metadata");
    check("http://[::ffff:169.254.169.254]/", "metadata");
    check("http://[fd00:ec2::254]/", "metadata");
    check("http://0.0.0.0:8000/", "no address of a machine");
    check("http://[::]/", "no address of a machine");
    check("http://224.0.0.1/", "multicast");
    check("http://255.255.255.255/", "broadcast");
    check("http://[fe80::1]/", "link-local");
    // The same addresses as a browser would understand them.
    for url in [
        "http://2130706433",
        "http://0x7f.1",
        "http://0x7f000001/",
        "http://017700000001/",
        "http://127.1/",
        "http://127.0.0.1./",
        "http:127.0.0.1",
        "http:\\\\127.0.0.1\\",
        "http://１２７.0.0.1/",
    ] {
        check(url, "write the address as 127.0.0.1");
    }
    check("http://3232235777/", "write the address as 192.168.1.1");
    for url in [
        "file:///etc/passwd",
        "gopher://10.0.0.1/",
        "ftp://10.0.0.1/",
        "unix:/run/x",
        "javascript:1",
    ] {
        check(url, "is not spoken");
    }
    check("http://u:p@10.0.0.1/", "credentials");
    check("http://10.0.0.1@127.0.0.1/", "credentials");
    check("nonsense", "is no URL");
    check("http://", "is no URL");
    check(
        &format!("http://10.0.0.1/{}", "a".repeat(2048)),
        "longer than",
    );
    for url in [
        "http://10.0.0.7:11434/v1",
        "https://api.example.com/v1",
        "http://[fd12::7]/",
        "http://192.168.1.1/",
    ] {
        assert!(guard.check_url("base_url", url).is_ok(), "{url}");
    }
}

#[test]
fn the_file_opens_what_it_names_but_never_the_recorder_itself() {
    let guard = guard(&["127.0.0.1", "169.254.0.0/16"]);
    let ok = |url: &str| guard.check_url("u", url).is_ok();
    assert!(ok("http://127.0.0.1:11434/") && ok("http://[::ffff:127.0.0.1]:11434/"));
    assert!(ok("http://169.254.3.4/"));
    assert!(!ok("http://127.0.0.2/") && !ok("http://[::1]/"));
    guard.add_listener("127.0.0.1:8000".parse().unwrap());
    assert!(!ok("http://127.0.0.1:8000/") && ok("http://127.0.0.1:8001/"));
    // Every address of this machine is a way to a listener that takes all of them.
    guard.add_listener("0.0.0.0:9100".parse().unwrap());
    assert!(!ok("http://127.0.0.1:9100/"));
    if let Some(mine) = own_address() {
        assert!(!ok(&format!("http://{mine}:9100/")), "{mine}");
        assert!(ok(&format!("http://{mine}:9101/")), "{mine}");
    }
}

/// An address of this machine that is no loopback, where it has one.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: only the route is chosen.
    socket.connect("192.0.2.1:9").ok()?;
    let mine = socket.local_addr().ok()?.ip();
    (!mine.is_loopback() && mine.is_ipv4()).then_some(mine)
}

#[test]
fn cameras_may_be_private_and_on_this_machine_while_it_is_alone() {
    let guard = guard(&[]).with_names(Doubles::of(&[
        ("meta.example", &[&["169.254.169.254"]]),
        ("2130706433", &[&["127.0.0.1"]]),
        ("yard.lan", &[&["10.0.0.5"]]),
    ]));
    let check = |uri: &str, expect: Option<&str>| match expect {
        None => assert!(guard.check_camera("uri", uri).is_ok(), "{uri}"),
        Some(says) => {
            let text = guard.check_camera("uri", uri).unwrap_err().to_string();
            assert!(
                text.starts_with("uri: ") && text.contains(says),
                "{uri}: {text}"
            );
        }
    };
    check("rtsp://10.0.0.5/main", None);
    check("rtsp://yard.lan/main", None);
    check("rtsp://nobody.example/main", None);
    check("test://ball", None);
    check("file:///srv/a.mp4", None);
    check("rtsp://169.254.169.254/", Some("metadata"));
    check("rtsps://[::ffff:169.254.169.254]/", Some("metadata"));
    check("rtsp://meta.example/", Some("metadata"));
    check("rtsp://meta%2eexample/", Some("metadata"));
    check("rtsp://0.0.0.0/", Some("no address"));
    check("rtsp://239.1.2.3/", Some("multicast"));
    check("rtsp://[fe80::1]/", Some("link-local"));
    check("rtsp://127.0.0.1:9554/cam", None);
    check("rtsp://2130706433:9554/cam", None);
    guard.add_listener("127.0.0.1:8554".parse().unwrap());
    check("rtsp://127.0.0.1:8554/cam", Some("the recorder itself"));
    check(
        "rtsp://[::ffff:127.0.0.1]:8554/cam",
        Some("the recorder itself"),
    );
    check("rtsp://2130706433:8554/cam", Some("the recorder itself"));
    check("rtsp://127.0.0.1:9554/cam", None);
    // Others than this machine may ask from here on.
    guard.add_listener("0.0.0.0:8000".parse().unwrap());
    check("rtsp://127.0.0.1:9554/cam", Some("loopback"));
    check("rtsp://2130706433:9554/cam", Some("loopback"));
    check("rtsp://10.0.0.5/main", None);
}

#[tokio::test]
async fn a_name_is_judged_by_all_its_addresses_and_resolved_once() {
    let stub = Stub::start(|_| Told::json(200, &serde_json::json!({"ok": true}))).await;
    let port = stub.address.port();
    let names = Doubles::of(&[
        ("good.example", &[&["127.0.0.1"]]),
        ("bad.example", &[&["127.0.0.2"]]),
        ("both.example", &[&["127.0.0.1", "169.254.169.254"]]),
        (
            "rebinding.example",
            &[&["127.0.0.1"], &["127.0.0.2"], &["169.254.169.254"]],
        ),
        ("none.example", &[&[]]),
    ]);
    let guard = guard(&["127.0.0.1"]).with_names(names.clone());
    let ask = async |name: &str| guard.call(get(&format!("http://{name}:{port}/x"))).await;
    assert_eq!(ask("good.example").await.unwrap().status, 200);
    for bad in ["bad.example", "both.example"] {
        let error = ask(bad).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad}: {error}");
    }
    // It answers with a good address first, and with a bad one to whoever asks again: the connection goes to the
    // address that was judged, and the next call is judged anew.
    assert_eq!(ask("rebinding.example").await.unwrap().status, 200);
    let left = names.0.lock().unwrap()["rebinding.example"].len();
    assert_eq!(left, 2, "it was resolved once");
    assert!(ask("rebinding.example").await.is_err());
    for gone in ["none.example", "unknown.example"] {
        assert_eq!(ask(gone).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert_eq!(stub.asked().len(), 2);
    assert_eq!(
        stub.asked()[1].headers["host"],
        format!("rebinding.example:{port}")
    );
}

#[tokio::test]
async fn redirects_are_judged_like_the_first_step() {
    let hidden = Stub::start(|_| Told::json(200, &serde_json::json!("secret"))).await;
    let elsewhere = hidden.url("/");
    let stub = Stub::start(move |asked| match asked.path.as_str() {
        "/file" => Told::moved(302, "file:///etc/passwd"),
        "/gopher" => Told::moved(302, "gopher://127.0.0.1/"),
        "/tls" => Told::moved(301, "https://127.0.0.1/"),
        "/loopback" => Told::moved(307, "http://127.0.0.2/"),
        "/decimal" => Told::moved(302, "http://2130706434/"),
        "/metadata" => Told::moved(302, "http://169.254.169.254/latest"),
        "/elsewhere" => Told::moved(307, &elsewhere),
        "/loop" => Told::moved(302, "/loop"),
        "/nowhere" => Told::json(302, &serde_json::json!(1)),
        "/once" => Told::moved(302, "/end"),
        _ => Told::json(200, &serde_json::json!("end")),
    })
    .await;
    let guard = guard(&["127.0.0.1"]);
    let says = async |call: Call| guard.call(call).await.unwrap_err().to_string();
    for (path, expect) in [
        ("/file", "file://, which is not followed"),
        ("/gopher", "gopher://, which is not followed"),
        ("/tls", "https://, which is not followed"),
        ("/loopback", "loopback"),
        ("/decimal", "loopback"),
        ("/metadata", "metadata"),
        ("/loop", "more than 3 redirects"),
        ("/nowhere", "to nowhere"),
    ] {
        let text = says(get(&stub.url(path))).await;
        assert!(text.contains(expect), "{path}: {text}");
    }
    assert_eq!(
        guard.call(get(&stub.url("/once"))).await.unwrap().status,
        200
    );
    assert!(hidden.asked().is_empty());

    // Another host gets what holds no secret, and nothing else.
    let key = HeaderValue::from_static("Bearer canary");
    let secret = get(&stub.url("/elsewhere")).secret_header(AUTHORIZATION, key.clone());
    assert!(says(secret).await.contains("may not see the credentials"));
    let body = Call::new(Method::POST, stub.url("/elsewhere").parse().unwrap())
        .json(&serde_json::json!({"password": "canary"}), true);
    assert!(says(body).await.contains("may not see the credentials"));
    assert!(hidden.asked().is_empty());
    assert_eq!(
        guard
            .call(get(&stub.url("/elsewhere")))
            .await
            .unwrap()
            .status,
        200
    );
    let kept = get(&stub.url("/once")).secret_header(AUTHORIZATION, key);
    assert!(!format!("{kept:?}").contains("canary"));
    assert_eq!(guard.call(kept).await.unwrap().status, 200);
    assert_eq!(
        stub.asked().last().unwrap().headers["authorization"],
        "Bearer canary"
    );
}

#[tokio::test]
async fn answers_are_bounded_in_size_and_time() {
    let stub = Stub::start(|asked| match asked.path.as_str() {
        "/endless" => Told {
            status: 200,
            endless: true,
            ..Told::default()
        },
        _ => Told {
            status: 200,
            body: vec![b'x'; 5000],
            ..Told::default()
        },
    })
    .await;
    let guard = guard(&["127.0.0.1"]);
    let text = guard
        .call(get(&stub.url("/endless")))
        .await
        .unwrap_err()
        .to_string();
    assert!(text.contains("longer than 1048576 bytes"), "{text}");
    let small = get(&stub.url("/")).max_answer(4999);
    assert!(
        guard
            .call(small)
            .await
            .unwrap_err()
            .to_string()
            .contains("4999")
    );
    let enough = get(&stub.url("/")).max_answer(5000);
    assert_eq!(guard.call(enough).await.unwrap().body.len(), 5000);

    // Somebody who takes the connection and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let began = Instant::now();
    let error = guard.call(get(&url).time(Duration::from_millis(200))).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(4));
    drop(silent);
    let error = guard.call(get(&url)).await.unwrap_err().to_string();
    assert!(error.contains("cannot connect"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_nobody_signed_is_taken_only_where_it_is_said() {
    let stub = Stub::start_tls(|_| Told::json(200, &serde_json::json!({}))).await;
    let guard = guard(&["127.0.0.1"]);
    let url = format!("https://{}/", stub.address);
    let strict = guard.call(get(&url)).await.unwrap_err();
    assert!(
        matches!(
            strict.kind(),
            ErrorKind::Unavailable | ErrorKind::FailedPrecondition
        ),
        "{strict}"
    );
    assert_eq!(
        guard.call(get(&url).verify(false)).await.unwrap().status,
        200
    );
    assert_eq!(stub.asked().len(), 1);
}

#[tokio::test]
async fn a_call_says_what_it_was_told_to_and_nothing_else() {
    let stub = Stub::start(|asked| Told::json(201, &asked.json()).with("x-csrf-token", "t")).await;
    let url = stub.url("/a?b=c").parse().unwrap();
    let body = serde_json::json!({"a": [1, "ä"]});
    let call = Call::new(Method::POST, url).json(&body, false);
    let answer = guard(&["127.0.0.1"]).call(call).await.unwrap();
    let token = answer.headers["x-csrf-token"].to_str().unwrap();
    assert_eq!((answer.status, token), (201, "t"));
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told, body);
    let asked = &stub.asked()[0];
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str()),
        ("POST", "/a?b=c")
    );
    assert_eq!(asked.headers["content-type"], "application/json");
    let names: Vec<&str> = asked.headers.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "accept",
            "content-length",
            "content-type",
            "host",
            "user-agent"
        ]
    );
}
