//! Messages on their way to the bus: posted in the order they arose, by whichever thread is free, under no lock.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gst::prelude::*;
use gst::subclass::prelude::*;
use nvr_contract::Message;

use super::imp::{CAT, SegmentRecorder};
use crate::recorder::Notice;

/// What can be posted.
#[derive(Debug)]
pub(super) enum Mail {
    Notice(Notice),
    Eos(gst::Seqnum),
}

#[derive(Debug, Default)]
struct Content {
    waiting: VecDeque<Mail>,
    posting: bool,
}

/// A queue of messages.
#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<Content>);

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds messages behind those that wait.
    pub fn put(&self, mail: impl IntoIterator<Item = Mail>) {
        self.lock().waiting.extend(mail);
    }

    /// Posts what waits. A second thread that comes meanwhile leaves its messages to the first.
    pub fn post(&self, post: impl Fn(Mail)) {
        let mut content = self.lock();
        if content.posting {
            return;
        }
        content.posting = true;
        while let Some(mail) = content.waiting.pop_front() {
            drop(content);
            post(mail);
            content = self.lock();
        }
        content.posting = false;
    }
}

impl SegmentRecorder {
    /// Says that everything is written.
    pub(super) fn post_eos(&self, seqnum: gst::Seqnum) {
        self.outbox.put([Mail::Eos(seqnum)]);
        self.outbox.post(|mail| self.post(mail));
    }

    pub(super) fn post(&self, mail: Mail) {
        let element = self.obj();
        let structure = match mail {
            Mail::Eos(seqnum) => {
                let eos = gst::message::Eos::builder().src(&*element).seqnum(seqnum);
                return self.deliver(eos.build());
            }
            Mail::Notice(Notice::Opened(opened)) => {
                gst::info!(CAT, imp = self, "opened {}", opened.location);
                opened.to_structure()
            }
            Mail::Notice(Notice::Fragment(fragment)) => fragment.to_structure(),
            Mail::Notice(Notice::Closed(closed)) => {
                let (location, frames) = (&closed.location, closed.frames);
                gst::info!(CAT, imp = self, "closed {location}, {frames} pictures");
                closed.to_structure()
            }
            Mail::Notice(Notice::Gap(gap)) => {
                let (reason, detail) = (gap.reason, gap.detail.as_deref().unwrap_or(""));
                gst::warning!(CAT, imp = self, "gap: {reason} {detail}");
                gap.to_structure()
            }
        };
        let message = gst::message::Element::builder(structure).src(&*element);
        self.deliver(message.build());
    }

    fn deliver(&self, message: gst::Message) {
        if let Err(error) = self.obj().post_message(message) {
            gst::debug!(CAT, imp = self, "nobody listens: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_message_that_causes_another_comes_first() {
        gst::init().unwrap();
        let outbox = Outbox::default();
        let seen = Cell::new(0);
        outbox.put([Mail::Eos(gst::Seqnum::next())]);
        outbox.post(|_| {
            if seen.get() == 0 {
                outbox.put([Mail::Eos(gst::Seqnum::next())]);
                outbox.post(|_| panic!("the outer call posts it"));
            }
            seen.set(seen.get() + 1);
        });
        assert_eq!(seen.get(), 2);
    }
}
