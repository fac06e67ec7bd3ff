//! The RTSP server asked by hand, over sockets: who gets in, who sees what, and what garbage does.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nvr_base::principal::{Actor, CameraAccess, Role};
use nvr_base::{Principal, Secret};

use super::digest::ha1;
use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// `anna` sees `front` only; `boss` sees everything.
#[derive(Default)]
struct Users {
    open: AtomicBool,
    gone: AtomicBool,
    shut: AtomicBool,
    wrong: AtomicU32,
}

impl Viewers for Users {
    fn asks(&self) -> bool {
        !self.open.load(Ordering::Relaxed)
    }

    fn version(&self) -> i64 {
        self.gone.load(Ordering::Relaxed).into()
    }

    fn all(&self) -> Vec<RtspUser> {
        let only = CameraAccess::Only(BTreeSet::from(["front".to_owned()]));
        let users = [("anna", only), ("boss", CameraAccess::All)];
        let gone = self.gone.load(Ordering::Relaxed);
        let users = users
            .into_iter()
            .filter(|(name, _)| !gone || *name != "anna");
        users.map(|(name, cameras)| user(name, cameras)).collect()
    }

    fn may_try(&self, _: IpAddr) -> bool {
        !self.shut.load(Ordering::Relaxed)
    }

    fn was_wrong(&self, _: IpAddr) {
        self.wrong.fetch_add(1, Ordering::Relaxed);
    }
}

fn user(name: &str, cameras: CameraAccess) -> RtspUser {
    let principal = Principal {
        actor: Actor::User {
            id: name.to_owned(),
            name: name.to_owned(),
        },
        role: Role::Viewer,
        scopes: None,
        cameras,
    };
    RtspUser {
        name: name.to_owned(),
        ha1: Secret::new(ha1(name, "pass word")),
        principal: Arc::new(principal),
    }
}

struct World {
    users: Arc<Users>,
    server: Restream,
}

fn world(limits: Limits) -> World {
    gst::init().unwrap();
    let users = Arc::new(Users::default());
    let listen = ([127, 0, 0, 1], 0).into();
    let server = Restream::start_for(listen, Taps::default(), users.clone(), limits).unwrap();
    server.set_mounts(&["front".parse().unwrap(), "yard".parse().unwrap()]);
    World { users, server }
}

/// A client that asks one thing after the other over one connection.
struct Client {
    stream: TcpStream,
    address: SocketAddr,
    number: u32,
    nonce: String,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            address,
            number: 0,
            nonce: String::new(),
        }
    }

    /// Status and head of the answer; 0 when the connection is over.
    fn ask(&mut self, method: &str, path: &str, header: &str) -> (u16, String) {
        self.number += 1;
        let uri = self.uri(path);
        let text = format!(
            "{method} {uri} RTSP/1.0\r\nCSeq: {}\r\n{header}\r\n",
            self.number
        );
        let mut head = Vec::new();
        if self.stream.write_all(text.as_bytes()).is_err() {
            return (0, String::new());
        }
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match self.stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return (0, String::new()),
            }
        }
        let head = String::from_utf8(head).unwrap();
        if let Some((_, rest)) = head.split_once("nonce=\"") {
            self.nonce = rest.split('"').next().unwrap().to_owned();
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head)
    }

    fn uri(&self, path: &str) -> String {
        match path {
            "*" => path.to_owned(),
            path => format!("rtsp://{}{path}", self.address),
        }
    }

    fn digest(&self, user: &str, password: &str, method: &str, path: &str) -> String {
        let md5 = |text: &str| {
            let bytes = glib::Bytes::from(text.as_bytes());
            glib::compute_checksum_for_bytes(glib::ChecksumType::Md5, &bytes).unwrap()
        };
        let (uri, nonce) = (self.uri(path), &self.nonce);
        let ha2 = md5(&format!("{method}:{uri}"));
        let response = md5(&format!(
            "{}:{nonce}:{ha2}",
            md5(&format!("{user}:nvrd:{password}"))
        ));
        format!(
            "Authorization: Digest username=\"{user}\", realm=\"nvrd\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\"\r\n"
        )
    }

    /// Asks as somebody, with the nonce of an earlier refusal.
    fn ask_as(&mut self, user: &str, password: &str, method: &str, path: &str) -> u16 {
        if self.nonce.is_empty() {
            assert_eq!(self.ask(method, path, "").0, 401);
        }
        let header = self.digest(user, password, method, path);
        self.ask(method, path, &header).0
    }
}

/// What a camera that is not there, and one that has no picture, are answered with.
const NOT_THERE: u16 = 404;
const NO_PICTURE: u16 = 400;

#[test]
fn whoever_is_nobody_learns_nothing() {
    let world = world(Limits::default());
    let mut client = Client::new(world.server.address());
    assert_eq!(client.ask("OPTIONS", "*", "").0, 200);
    for (method, path) in [
        ("DESCRIBE", "/front"),
        ("DESCRIBE", "/nobody"),
        ("DESCRIBE", "/"),
        ("OPTIONS", "/front"),
        ("SETUP", "/front/stream=0"),
        ("PLAY", "/front"),
        ("TEARDOWN", "/yard"),
        ("ANNOUNCE", "/front"),
        ("RECORD", "/front"),
    ] {
        let (status, head) = client.ask(method, path, "");
        assert_eq!(status, 401, "{method} {path}");
        assert!(
            head.contains("WWW-Authenticate: Digest realm=\"nvrd\", nonce="),
            "{head}"
        );
    }
    // Without users everybody sees everything.
    world.users.open.store(true, Ordering::Relaxed);
    assert_eq!(client.ask("DESCRIBE", "/front", "").0, NO_PICTURE);
    assert_eq!(client.ask("DESCRIBE", "/nobody", "").0, NOT_THERE);
}

#[test]
fn each_sees_their_own_cameras_and_no_trace_of_others() {
    let world = world(Limits::default());
    let check = |user: &str, password: &str, path: &str, expect: u16| {
        let mut client = Client::new(world.server.address());
        let got = client.ask_as(user, password, "DESCRIBE", path);
        assert_eq!(got, expect, "{user} {path}");
    };
    check("anna", "pass word", "/front", NO_PICTURE);
    check("anna", "pass word", "/yard", NOT_THERE);
    check("anna", "pass word", "/nobody", NOT_THERE);
    check("anna", "pass word", "/front/../yard", NOT_THERE);
    check("anna", "pass word", "//yard", NOT_THERE);
    check("anna", "pass word", "/%79ard", NOT_THERE);
    check("boss", "pass word", "/yard", NO_PICTURE);
    check("boss", "pass word", "/nobody", NOT_THERE);
    check("anna", "wrong", "/front", 401);
    check("nobody", "pass word", "/front", 401);
    check("", "", "/front", 401);
    assert_eq!(world.users.wrong.load(Ordering::Relaxed), 3);
    world.users.shut.store(true, Ordering::Relaxed);
    check("anna", "pass word", "/front", 401);
    world.users.shut.store(false, Ordering::Relaxed);
    world.users.gone.store(true, Ordering::Relaxed);
    check("anna", "pass word", "/front", 401);
    world.users.gone.store(false, Ordering::Relaxed);
    check("anna", "pass word", "/front", NO_PICTURE);
    // The very same sentence for what is hidden and what is not there.
    let head = |path: &str| {
        let mut client = Client::new(world.server.address());
        client.ask("DESCRIBE", path, "");
        let header = client.digest("anna", "pass word", "DESCRIBE", path);
        let (_, head) = client.ask("DESCRIBE", path, &header);
        head.lines()
            .filter(|line| !line.starts_with("Date"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(head("/yard"), head("/nobody"));
}

#[test]
fn an_answer_holds_for_one_method_and_one_connection() {
    let world = world(Limits::default());
    let mut client = Client::new(world.server.address());
    client.ask("DESCRIBE", "/front", "");
    let other = client.digest("anna", "pass word", "TEARDOWN", "/front");
    assert_eq!(client.ask("DESCRIBE", "/front", &other).0, 401);
    let right = client.digest("anna", "pass word", "DESCRIBE", "/front");
    assert_eq!(client.ask("DESCRIBE", "/front", &right).0, NO_PICTURE);
    // Replayed over another connection it is nothing.
    let mut thief = Client::new(world.server.address());
    assert_eq!(thief.ask("DESCRIBE", "/front", &right).0, 401);
    // Basic is as good where nobody can listen in.
    let basic = glib::base64_encode(b"anna:pass word");
    let header = format!("Authorization: Basic {basic}\r\n");
    assert_eq!(client.ask("DESCRIBE", "/front", &header).0, NO_PICTURE);
    for header in [
        "Authorization: Basic\r\n",
        "Authorization: Basic AAAA\r\n",
        "Authorization: Digest\r\n",
        "Authorization: Digest username\r\n",
        "Authorization: Bearer x\r\n",
        "Authorization:\r\n",
    ] {
        let mut client = Client::new(world.server.address());
        assert_eq!(client.ask("DESCRIBE", "/front", header).0, 401, "{header}");
    }
}

#[test]
fn guessing_and_idling_end() {
    let limits = Limits {
        idle_time: Duration::from_secs(2),
        per_address: 3,
        ..Limits::default()
    };
    let world = world(limits);
    let mut guesser = Client::new(world.server.address());
    for _ in 0..5 {
        assert_eq!(guesser.ask_as("anna", "guess", "DESCRIBE", "/front"), 401);
    }
    // Even the right one is too late now.
    assert_ne!(
        guesser.ask_as("anna", "pass word", "DESCRIBE", "/front"),
        NO_PICTURE
    );
    let start = Instant::now();
    let mut idle: Vec<_> = (0..2)
        .map(|_| Client::new(world.server.address()))
        .collect();
    for client in &mut idle {
        client.stream.write_all(b"DESCRIBE rtsp://").unwrap();
        assert!(client.stream.read(&mut [0]).map_or(true, |read| read == 0));
    }
    assert!(start.elapsed() < Duration::from_secs(8));
    while world.server.clients() > 0 {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut many: Vec<_> = (0..3)
        .map(|_| Client::new(world.server.address()))
        .collect();
    assert!(
        many.iter_mut()
            .all(|client| client.ask("OPTIONS", "*", "").0 == 200)
    );
    assert_eq!(
        Client::new(world.server.address())
            .ask("OPTIONS", "*", "")
            .0,
        0
    );
}

#[test]
fn garbage_ends_nobody_but_its_sender() {
    let world = world(Limits::default());
    let address = world.server.address();
    let mut honest = Client::new(address);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let endless = |line: &[u8], times: usize| -> Vec<u8> {
        [
            b"DESCRIBE rtsp://h/front RTSP/1.0\r\n".to_vec(),
            line.repeat(times),
        ]
        .concat()
    };
    let mut cases: Vec<Vec<u8>> = vec![
        b"\0\0\0\0\0\0\0\0".to_vec(),
        b"$\0\xff\xff".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"GET /front HTTP/1.0\r\nx-sessioncookie: a\r\n\r\n".to_vec(),
        b"POST /front HTTP/1.0\r\nx-sessioncookie: a\r\n\r\n!!!!".to_vec(),
        b"DESCRIBE  RTSP/9.9\r\nCSeq: -1\r\n\r\n".to_vec(),
        b"SETUP rtsp://h/front RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 4294967295\r\n\r\n".to_vec(),
        b"SETUP rtsp://h/front RTSP/1.0\r\nCSeq: 1\r\nContent-Length: -5\r\n\r\n".to_vec(),
        b"DESCRIBE rtsp://h/front RTSP/1.0\r\nCSeq: 1\r\nAuthorization: Digest ,,,=\"\"\"\r\n\r\n"
            .to_vec(),
        endless(
            b"X-Endless: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
            40_000,
        ),
        endless(b"a", 2 << 20),
    ];
    for _ in 0..150 {
        let length = (random() % 512) as usize;
        let mut bytes: Vec<u8> = (0..length).map(|_| random() as u8).collect();
        if random() % 2 == 0 {
            let start = b"DESCRIBE rtsp://127.0.0.1/front RTSP/1.0\r\nCSeq: 1\r\n";
            let at = (random() as usize) % start.len();
            bytes = [&start[..at], &bytes[..], &start[at..]].concat();
        }
        cases.push(bytes);
    }
    for case in &cases {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_write_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        stream.write_all(case).map(drop).unwrap_or_default();
        drop(stream);
        assert_eq!(
            honest.ask("OPTIONS", "*", "").0,
            200,
            "after {:?}",
            String::from_utf8_lossy(&case[..case.len().min(80)])
        );
    }
    assert_eq!(
        honest.ask_as("anna", "pass word", "DESCRIBE", "/front"),
        NO_PICTURE
    );
}
