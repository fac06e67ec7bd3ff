//! The bounded channel between a backend and the streaming thread of one camera.
//!
//! A file waits for space; a network camera cannot wait, so pictures are left out up to the next key frame.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::packet::{Item, Packet, Stream};

/// The other side has closed the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Packets.
    pub packets: usize,
    /// Bytes of encoded data.
    pub bytes: usize,
}

#[derive(Debug, Default)]
struct Inner {
    items: VecDeque<Item>,
    packets: usize,
    bytes: usize,
    closed: bool,
    end_asked: bool,
    leaving_out: bool,
    left_out: u64,
}

/// A queue of packets and of what happens between them.
#[derive(Debug)]
pub struct Queue {
    limits: Limits,
    inner: Mutex<Inner>,
    changed: Condvar,
}

impl Queue {
    /// An empty queue.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            inner: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every critical section leaves the queue whole, so a panic elsewhere does not matter here.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_space(&self, inner: &Inner) -> bool {
        inner.packets < self.limits.packets && inner.bytes < self.limits.bytes
    }

    /// Adds a packet, waiting for space.
    ///
    /// # Errors
    /// When the queue is closed.
    pub fn push_wait(&self, packet: Packet) -> Result<(), Closed> {
        let inner = self
            .changed
            .wait_while(self.lock(), |inner| !inner.closed && !self.has_space(inner))
            .unwrap_or_else(PoisonError::into_inner);
        self.add(inner, Item::Packet(packet))
    }

    /// Adds a packet, or leaves it and all up to the next key frame out when there is no space.
    ///
    /// # Errors
    /// When the queue is closed.
    pub fn offer(&self, packet: Packet) -> Result<(), Closed> {
        let mut inner = self.lock();
        let video = packet.stream == Stream::Video;
        let space = self.has_space(&inner);
        if !space || (inner.leaving_out && video && !packet.key) {
            if video {
                inner.leaving_out = true;
                inner.left_out += 1;
            }
            return if inner.closed { Err(Closed) } else { Ok(()) };
        }
        if inner.leaving_out && video {
            inner.leaving_out = false;
            inner.items.push_back(Item::Gap);
        }
        self.add(inner, Item::Packet(packet))
    }

    /// Leaves a picture out that never became one, and all up to the next key frame.
    pub fn leave_out(&self) {
        let mut inner = self.lock();
        inner.leaving_out = true;
        inner.left_out += 1;
    }

    /// Adds what is not a packet; there is always space for it.
    ///
    /// # Errors
    /// When the queue is closed.
    pub fn tell(&self, item: Item) -> Result<(), Closed> {
        let mut inner = self.lock();
        if matches!(item, Item::Lost(_)) {
            inner.leaving_out = false;
            // A camera that stays away while nobody looks must not fill memory: the latest word counts.
            if matches!(inner.items.back(), Some(Item::Lost(_))) {
                inner.items.pop_back();
            }
        }
        self.add(inner, item)
    }

    fn add(&self, mut inner: MutexGuard<'_, Inner>, item: Item) -> Result<(), Closed> {
        if inner.closed {
            return Err(Closed);
        }
        if let Item::Packet(packet) = &item {
            inner.packets += 1;
            inner.bytes += packet.data.size();
        }
        inner.items.push_back(item);
        drop(inner);
        self.changed.notify_all();
        Ok(())
    }

    /// The next item, waiting for one; an end that was asked for comes before everything else.
    ///
    /// # Errors
    /// When the queue is closed.
    pub fn pop(&self) -> Result<Item, Closed> {
        let mut inner = self
            .changed
            .wait_while(self.lock(), |inner| {
                !inner.closed && !inner.end_asked && inner.items.is_empty()
            })
            .unwrap_or_else(PoisonError::into_inner);
        if inner.closed {
            return Err(Closed);
        }
        if inner.end_asked {
            return Ok(Item::End);
        }
        let item = inner.items.pop_front().expect("not empty, by the wait");
        if let Item::Packet(packet) = &item {
            inner.packets -= 1;
            inner.bytes -= packet.data.size();
        }
        drop(inner);
        self.changed.notify_all();
        Ok(item)
    }

    /// Drops the packets that wait, for a pipeline that looked away; the next one of video is a key frame.
    pub fn forget(&self) {
        let mut inner = self.lock();
        if inner.packets == 0 {
            return;
        }
        inner
            .items
            .retain(|item| !matches!(item, Item::Packet(_) | Item::Gap));
        inner.items.push_back(Item::Gap);
        (inner.packets, inner.bytes) = (0, 0);
        drop(inner);
        self.changed.notify_all();
    }

    /// Makes `pop` say the end from now on.
    pub fn ask_end(&self) {
        self.lock().end_asked = true;
        self.changed.notify_all();
    }

    /// Ends both sides; what waits is dropped.
    pub fn close(&self) {
        let items = {
            let mut inner = self.lock();
            inner.closed = true;
            inner.packets = 0;
            inner.bytes = 0;
            std::mem::take(&mut inner.items)
        };
        self.changed.notify_all();
        drop(items);
    }

    /// Waits for the queue to be closed; false when the time is over first.
    pub fn wait_closed(&self, limit: Duration) -> bool {
        let wait = self
            .changed
            .wait_timeout_while(self.lock(), limit, |inner| !inner.closed);
        wait.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Whether the queue is closed.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Pictures left out for want of space so far.
    pub fn left_out(&self) -> u64 {
        self.lock().left_out
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nvr_contract::source::LossReason;

    use super::*;
    use crate::packet::Loss;

    fn packet(stream: Stream, key: bool, pts: i64) -> Packet {
        Packet {
            stream,
            data: gst::Buffer::from_slice([0; 10]),
            caps: None,
            pts: Some(pts),
            dts: None,
            duration: None,
            key,
            reordered: false,
            corrupted: false,
            arrival: None,
        }
    }

    fn queue(packets: usize, bytes: usize) -> Queue {
        gst::init().unwrap();
        Queue::new(Limits { packets, bytes })
    }

    fn word(item: &Item) -> String {
        match item {
            Item::Packet(packet) => packet.pts.unwrap_or(-1).to_string(),
            Item::Lost(loss) => format!("lost {}", loss.attempts),
            Item::Gap => "gap".to_owned(),
            other => format!("{other:?}"),
        }
    }

    fn drain(queue: &Queue) -> Vec<String> {
        queue.ask_end_after_items();
        let mut words = Vec::new();
        loop {
            match queue.pop() {
                Ok(Item::End) | Err(Closed) => return words,
                Ok(item) => words.push(word(&item)),
            }
        }
    }

    impl Queue {
        fn ask_end_after_items(&self) {
            self.tell(Item::End).unwrap();
        }
    }

    #[test]
    fn full_queues_leave_out_up_to_the_next_key_frame() {
        let queue = queue(2, 1000);
        for n in 0..6 {
            queue.offer(packet(Stream::Video, n == 0, n)).unwrap();
        }
        assert_eq!(queue.left_out(), 4);
        assert_eq!(word(&queue.pop().unwrap()), "0");
        // There is space again, but no key frame yet.
        queue.offer(packet(Stream::Video, false, 6)).unwrap();
        queue.offer(packet(Stream::Video, true, 7)).unwrap();
        assert_eq!(queue.left_out(), 5);
        assert_eq!(drain(&queue), ["1", "gap", "7"]);
    }

    #[test]
    fn a_picture_that_never_was_counts_as_left_out() {
        let queue = queue(10, 1000);
        queue.offer(packet(Stream::Video, true, 1)).unwrap();
        queue.leave_out();
        for n in 2..5 {
            queue.offer(packet(Stream::Video, n == 4, n)).unwrap();
        }
        assert_eq!(queue.left_out(), 3);
        assert_eq!(drain(&queue), ["1", "gap", "4"]);
    }

    #[test]
    fn bytes_count_too() {
        let queue = queue(100, 25);
        for n in 0..6 {
            queue.offer(packet(Stream::Video, true, n)).unwrap();
        }
        assert_eq!(queue.left_out(), 3);
    }

    #[test]
    fn losses_do_not_pile_up() {
        let queue = queue(2, 1000);
        for attempts in 0..100 {
            let loss = Loss {
                reason: LossReason::Silent,
                detail: String::new(),
                attempts,
            };
            queue.tell(Item::Lost(loss)).unwrap();
        }
        assert_eq!(drain(&queue), ["lost 99"]);
    }

    #[test]
    fn waiting_ends_with_space_and_with_the_queue() {
        let queue = Arc::new(queue(1, 1000));
        let writer = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || (0..).find(|n| queue.push_wait(packet(Stream::Video, true, *n)).is_err())
        });
        for n in 0..5 {
            assert_eq!(word(&queue.pop().unwrap()), n.to_string());
        }
        queue.close();
        assert!(writer.join().unwrap().unwrap() >= 5);
        assert_eq!(queue.pop().unwrap_err(), Closed);
        assert!(queue.is_closed());
    }

    #[test]
    fn an_end_that_is_asked_for_comes_first() {
        let queue = queue(5, 1000);
        queue.push_wait(packet(Stream::Video, true, 1)).unwrap();
        queue.ask_end();
        assert!(matches!(queue.pop(), Ok(Item::End)));
    }
}
