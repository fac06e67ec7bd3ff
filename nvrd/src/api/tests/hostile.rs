//! Requests that want to be too much, or to lead out of where they belong (RELIABILITY T7, T15).

use std::time::Duration;

use nvr_base::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::World;
use crate::api::{service, table};
use crate::net::{Options, bind, serve};

/// What stands at the place of a name or an id.
fn traversals() -> Vec<String> {
    let mut all: Vec<String> = [
        "..",
        "..%2f",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "%252e%252e%252f",
        "....%2f%2f",
        "%2fetc%2fpasswd",
        "%2Fproc%2Fself%2Fenviron",
        "%00",
        "front%00.jpg",
        "%00%2f..",
        "..%00",
        "..%5c..%5c",
        "%5c%5cserver%5cshare",
        "c:%5cwindows",
        // The dot and the slash in more bytes than they need.
        "%c0%ae%c0%ae%c0%af",
        "%e0%80%af",
        "%c0%af",
        "%ff%fe",
        "%",
        "%g1",
        "%u002e",
        "~root",
        "$(id)",
        "%60id%60",
        "|id",
        ";id",
        "%0d%0aX-Injected:%201",
        "%0a",
        "%7f",
        "-",
        "--help",
        "%20",
        "%F0%9F%92%A3",
        "%E2%80%AE",
        "file:%2f%2f%2fetc%2fpasswd",
        "nvrd.db",
        "..;",
        "00000000-0000-0000-0000-000000000000",
        "18446744073709551616",
        "-1",
        "NaN",
    ]
    .map(str::to_owned)
    .into();
    all.push("a".repeat(10_000));
    all.push("%2e%2e%2f".repeat(1000));
    all
}

#[tokio::test]
async fn no_name_in_a_path_leads_anywhere() {
    let world = World::new();
    world.add_event(0, |_| {});
    world.add_segment(0, b"bytes", None);
    let rows: Vec<_> = table(world.context.clone()).rows().to_vec();
    let mut asked = 0;
    for (method, template, _) in &rows {
        let places: Vec<_> = template
            .split('/')
            .filter(|part| part.starts_with('{'))
            .collect();
        for place in places {
            for text in traversals() {
                // The other places hold something that is there.
                let path = template
                    .replacen(place, &text, 1)
                    .replace("{camera}", "gate")
                    .split('/')
                    .map(|part| if part.starts_with('{') { "x" } else { part })
                    .collect::<Vec<_>>()
                    .join("/");
                let request = warp::test::request().method(method.as_str()).path(&path);
                let request = request
                    .header("content-type", "application/json")
                    .body("{}");
                let answer = request
                    .reply(&crate::api::routes(world.context.clone()))
                    .await;
                let status = answer.status().as_u16();
                let shown = &path[..path.len().min(120)];
                assert!((400..500).contains(&status), "{method} {shown}: {status}");
                let body = String::from_utf8_lossy(answer.body());
                assert!(
                    !body.contains("root:x:") && body.len() < 64 << 10,
                    "{method} {shown}: {body}"
                );
                assert!(
                    !answer.headers().contains_key("x-injected"),
                    "{method} {shown}"
                );
                asked += 1;
            }
        }
    }
    println!("{asked} paths were refused");
    assert!(asked > 500, "{asked}");
}

struct Served {
    world: World,
    address: std::net::SocketAddr,
    _stop: EndOf,
}

struct EndOf(Shutdown);

impl Drop for EndOf {
    fn drop(&mut self) {
        self.0.trigger();
    }
}

async fn served() -> Served {
    let world = World::new();
    let listener = bind("api.listen", ([127, 0, 0, 1], 0).into())
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let stop = Shutdown::new();
    let service = service(world.context.clone());
    tokio::spawn(serve(listener, service, Options::default(), stop.clone()));
    Served {
        world,
        address,
        _stop: EndOf(stop),
    }
}

impl Served {
    /// Sends a head and then pieces, until there are no more or the other side has had enough; gives the answer.
    async fn send(&self, head: &str, pieces: impl Iterator<Item = Vec<u8>>) -> (String, usize) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut reads, mut writes) = stream.into_split();
        writes.write_all(head.as_bytes()).await.unwrap();
        let mut sent = 0;
        let mut text = Vec::new();
        {
            let reading = reads.read_to_end(&mut text);
            let writing = async {
                for piece in pieces {
                    if writes.write_all(&piece).await.is_err() {
                        break;
                    }
                    sent += piece.len();
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                read = reading => read.map(drop).unwrap_or_default(),
                () = writing => {}
                () = tokio::time::sleep(Duration::from_secs(20)) => panic!("no end after {sent} bytes"),
            }
        }
        (String::from_utf8_lossy(&text).into_owned(), sent)
    }

    async fn post(&self, headers: &str, body: &[u8]) -> String {
        let head = format!(
            "POST /api/v1/cameras HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        self.send(&head, body.chunks(64 << 10).map(<[u8]>::to_vec))
            .await
            .0
    }
}

const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn bodies_that_want_to_be_too_much_are_refused() {
    let served = served().await;
    let check = |text: String, status: &str, detail: &str| {
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status} ")),
            "{status}: {text}"
        );
        assert!(text.contains(detail), "{detail}: {text}");
    };
    for open in ["[", "{\"a\":"] {
        let deep = open.repeat(100_000);
        check(served.post(JSON, deep.as_bytes()).await, "400", "detail");
    }
    let deep = format!("{{\"params\":{}", "{\"a\":".repeat(100_000));
    check(served.post(JSON, deep.as_bytes()).await, "400", "detail");
    check(
        served.post(JSON, &vec![b' '; (1 << 20) + 1]).await,
        "413",
        "larger than 1048576 bytes",
    );
    // A gigabyte of nothing, packed: it is not unpacked.
    let packed = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    for encoding in ["gzip", "deflate", "br", "gzip, gzip", "zstd"] {
        let headers = format!("{JSON}Content-Encoding: {encoding}\r\n");
        check(
            served.post(&headers, &packed).await,
            "415",
            "Content-Encoding",
        );
    }
    check(
        served
            .post(&format!("{JSON}Content-Encoding: identity\r\n"), b"{}")
            .await,
        "400",
        "missing field",
    );
    // Chunks without an end, and without a length to refuse beforehand.
    let head = format!(
        "POST /api/v1/cameras/gate/trigger HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n{JSON}\r\n"
    );
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    let (text, sent) = served.send(&head, std::iter::repeat_n(chunk, 4096)).await;
    check(text, "413", "larger than 1048576 bytes");
    // What the system holds on the way is sent too, and no more.
    assert!(sent < 32 << 20, "{sent}");
    assert_eq!(served.world.json("/api/v1/cameras").await["total"], 1);
}
