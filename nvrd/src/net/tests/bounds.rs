//! Slow and greedy clients, and the others beside them.

use tokio::time::Instant;

use super::*;

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn each_way_of_waiting_ends() {
    let options = limits(|limits| {
        limits.header_time = SHORT;
        limits.idle_time = SHORT * 4;
    });
    let listener = listen(options).await;
    let kept = get("/").replace("Connection: close\r\n", "");
    let check = async |text: &str, least: Duration, most: Duration| {
        let stream = begin(listener.address, text).await;
        let start = Instant::now();
        rest(stream).await;
        let took = start.elapsed();
        assert!(took > least && took < most, "{text:?}: {took:?}");
    };
    let margin = Duration::from_secs(3);
    check("", SHORT / 2, margin).await;
    check("GET / HTTP/1.1\r\nX: ", SHORT / 2, margin).await;
    check("PRI * HTTP/2.0\r\n", Duration::ZERO, margin).await;
    // After an answer there is more time, unless the next request has begun.
    check(&kept, SHORT * 3, margin).await;
    check(&format!("{kept}GET / HT"), SHORT / 2, margin).await;
    ended(listener).await;
}

#[tokio::test]
async fn whoever_takes_nothing_is_cut_and_whoever_takes_slowly_is_not() {
    let listener = listen(limits(|limits| limits.stall_time = SHORT * 3)).await;
    let mut silent = begin(listener.address, &get("/big")).await;
    let mut slow = begin(listener.address, &get("/big")).await;
    let mut taken = 0;
    let start = Instant::now();
    // As long as the silent one may live, and a while longer.
    while start.elapsed() < SHORT * 8 {
        let mut piece = vec![0; 256 << 10];
        taken += slow.read(&mut piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut all = Vec::new();
    slow.read_to_end(&mut all).await.unwrap();
    assert!(taken + all.len() > 64 << 20, "{taken} {}", all.len());
    // What the system kept for the silent one still comes, and then nothing: far from all of it.
    all.clear();
    silent
        .read_to_end(&mut all)
        .await
        .map(drop)
        .unwrap_or_default();
    assert!(all.len() < 32 << 20, "{}", all.len());
    ended(listener).await;
}

#[tokio::test]
async fn an_address_that_works_with_all_its_connections_gets_no_more() {
    let listener = listen(limits(|limits| limits.per_address = 2)).await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        busy.push(begin(listener.address, &get("/silent")).await);
        let mut first = [0; 8];
        busy.last_mut()
            .unwrap()
            .read_exact(&mut first)
            .await
            .unwrap();
        assert_eq!(&first, b"HTTP/1.1");
    }
    let text = rest(begin(listener.address, &get("/")).await).await;
    assert!(
        text.starts_with("HTTP/1.1 503 ") && text.contains("retry-after: 2\r\n"),
        "{text}"
    );
    let body: serde_json::Value =
        serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body["status_code"], 503);
    // One that goes makes a place at once.
    busy.pop();
    let start = Instant::now();
    while !rest(begin(listener.address, &get("/")).await)
        .await
        .starts_with("HTTP/1.1 200 ")
    {
        assert!(start.elapsed() < PATIENCE);
    }
    ended(listener).await;
}

#[tokio::test]
async fn when_all_places_are_at_work_the_others_wait() {
    let listener = listen(limits(|limits| limits.connections = 1)).await;
    let mut busy = begin(listener.address, &get("/silent")).await;
    busy.read_exact(&mut [0; 8]).await.unwrap();
    let mut waits = begin(listener.address, &get("/")).await;
    let mut first = [0; 12];
    let early = tokio::time::timeout(SHORT, waits.read_exact(&mut first)).await;
    assert!(early.is_err(), "{early:?}");
    drop(busy);
    let read = tokio::time::timeout(PATIENCE, waits.read_exact(&mut first)).await;
    read.unwrap().unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    ended(listener).await;
}

/// RELIABILITY T14: slow headers cost the attacker his sockets, and nobody else their time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_slow_headers_hold_nobody_up() {
    let header_time = Duration::from_secs(2);
    let listener = listen(limits(|limits| limits.header_time = header_time)).await;
    let start = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..500 {
        slow.push(begin(listener.address, "GET / HTTP/1.1\r\nX-Slow: ").await);
    }
    let mut took = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        let text = rest(begin(listener.address, &get("/")).await).await;
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        took.push(start.elapsed());
        // They drip on, as long as they may.
        for stream in slow.iter().take(5) {
            stream.try_write(b"a").map(drop).unwrap_or_default();
        }
    }
    took.sort();
    let p99 = took[took.len() * 99 / 100];
    println!("p99 of normal requests beside 500 slow ones: {p99:?}");
    assert!(p99 < Duration::from_millis(200), "{p99:?}");
    for stream in slow {
        rest(stream).await;
    }
    let closed = start.elapsed();
    assert!(closed < header_time + Duration::from_secs(3), "{closed:?}");
    ended(listener).await;
}

#[tokio::test]
async fn endless_headers_are_refused() {
    let listener = listen(Options::default()).await;
    let mut stream = begin(listener.address, "GET / HTTP/1.1\r\nHost: localhost\r\n").await;
    let line = format!("X-Endless: {}\r\n", "a".repeat(4000));
    let mut sent = 0;
    // Until the other side has had enough.
    while sent < 64 << 20 && stream.write_all(line.as_bytes()).await.is_ok() {
        sent += line.len();
        if stream.try_read(&mut [0; 1]).is_ok() {
            break;
        }
    }
    assert!(sent < 16 << 20, "{sent}");
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(500));
    let text = rest(begin(listener.address, &many).await).await;
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20));
    let mut stream = TcpStream::connect(listener.address).await.unwrap();
    stream
        .write_all(long.as_bytes())
        .await
        .map(drop)
        .unwrap_or_default();
    let text = rest(stream).await;
    assert!(!text.starts_with("HTTP/1.1 2"), "{text}");
    ended(listener).await;
}
