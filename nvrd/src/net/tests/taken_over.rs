//! Connections that are not over with their answer: upgraded ones and endless answers, and how they end.

use super::*;

#[tokio::test]
async fn an_upgraded_connection_lives_on_and_ends_with_the_daemon() {
    let options = limits(|limits| {
        limits.header_time = Duration::from_millis(100);
        limits.idle_time = Duration::from_millis(100);
        limits.farewell = Duration::from_millis(100);
        limits.per_address = 1;
    });
    let listener = listen(options).await;
    let request = "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let mut stream = begin(listener.address, request).await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    for byte in *b"abc" {
        // Longer than a connection that waits may live.
        tokio::time::sleep(Duration::from_millis(150)).await;
        stream.write_u8(byte).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), byte);
    }
    // It still counts.
    let text = rest(begin(listener.address, &get("/")).await).await;
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    ended(listener).await;
    assert!(stream.read_u8().await.is_err());
}

#[tokio::test]
async fn an_endless_answer_sees_the_end_and_is_whole() {
    let listener = listen(Options::default()).await;
    let mut stream = begin(listener.address, &get("/silent")).await;
    stream.read_exact(&mut [0; 16]).await.unwrap();
    // The service is asked again only when it has been woken, which this one is not: the farewell ends it.
    let Listener { stop, task, .. } = listener;
    stop.trigger();
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    rest(stream).await;
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_keep_the_daemon() {
    let listener = listen(limits(|limits| {
        limits.farewell = Duration::from_millis(100)
    }))
    .await;
    let stream = begin(listener.address, &get("/slow")).await;
    rest(begin(listener.address, &get("/")).await).await;
    ended(listener).await;
    assert_eq!(rest(stream).await, "");
}
