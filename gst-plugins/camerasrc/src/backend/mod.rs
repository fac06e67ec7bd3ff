//! The backends: each delivers the packets of one kind of source into the queue until the queue is closed.

mod file;
mod inner;
mod rtsp;
mod rtsp_open;
mod rtsp_delivery;
mod rtsp_frame;
mod rtsp_broken;
mod hung;
mod rtspsrc;
mod scene;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use crate::backoff::{Backoff, Waits};
use crate::net::{self, Wakes};
use crate::packet::{Failure, Item, Loss};
use crate::queue::{Limits, Queue};
use crate::uri::{Credentials, Source};

pub use hung::Hung;
pub use rtsp::Transport;
pub use rtspsrc::Tls;

/// Packets that a file or a scene may be ahead of the pipeline.
const AHEAD: Limits = Limits {
    packets: 32,
    bytes: 8 << 20,
};
/// What a camera may deliver while the pipeline is stuck: about ten seconds of a good picture.
const BACKLOG: Limits = Limits {
    packets: 400,
    bytes: 16 << 20,
};

/// What a network camera needs besides its URL.
#[derive(Debug, Clone)]
pub struct Options {
    /// User name and password.
    pub credentials: Option<Credentials>,
    /// How pictures travel.
    pub transport: Transport,
    /// How long no picture may come, and how long a request may take.
    pub timeout: Duration,
    /// Seed of the jitter between attempts.
    pub seed: u64,
    /// How long to wait between attempts.
    pub waits: Waits,
    /// How long the network thread may sleep between two looks.
    pub wakes: Arc<Wakes>,
    /// It is the camera's second stream: sound is of no use, and no failure is its last word.
    pub second: bool,
    /// The pictures come by `rtspsrc`.
    pub rtspsrc: bool,
    /// Whom to believe that a camera is the camera.
    pub tls: Tls,
    /// Counts what hangs.
    pub hung: Arc<Hung>,
}

/// A backend at work.
#[derive(Debug)]
pub enum Running {
    /// A task of the network thread.
    Task(tokio::task::AbortHandle),
    /// A thread of its own, which drops the sender when it is done.
    Thread(Receiver<()>),
}

/// The queue that suits a source.
pub fn queue_for(source: &Source) -> Queue {
    Queue::new(match source {
        Source::Rtsp(_) => BACKLOG,
        Source::File(_) | Source::Scene(_) => AHEAD,
    })
}

/// Starts the backend of a source; it ends when the queue is closed.
///
/// # Errors
/// When the system gives no thread.
pub fn start(source: Source, options: Options, queue: Arc<Queue>) -> Result<Running, String> {
    match source {
        Source::Rtsp(url) if options.rtspsrc => thread(queue, &options.clone(), move |queue| {
            rtspsrc::run(&url, &options, queue);
            Ok(())
        }),
        Source::Rtsp(url) => {
            let task = net::handle()?.spawn(rtsp::run(url, options, queue));
            Ok(Running::Task(task.abort_handle()))
        }
        Source::File(file) => thread(queue, &options, move |queue| file::run(&file, queue)),
        Source::Scene(scene) => thread(queue, &options, move |queue| scene::run(&scene, queue)),
    }
}

fn thread(
    queue: Arc<Queue>,
    options: &Options,
    work: impl Fn(&Arc<Queue>) -> Result<(), Failure> + Send + 'static,
) -> Result<Running, String> {
    let (done, finished) = mpsc::channel();
    let patience = options
        .second
        .then(|| Backoff::new(options.seed, options.waits));
    std::thread::Builder::new()
        .name("camerasrc-file".to_owned())
        .spawn(move || {
            let end = match patience {
                Some(backoff) => persist(&queue, backoff, work),
                None => match work(&queue) {
                    Ok(()) => Item::End,
                    Err(failure) => Item::Failed(failure),
                },
            };
            // A closed queue means that nobody wants to know any more.
            queue.tell(end).ok();
            drop(done);
        })
        .map_err(|error| format!("no thread for the source: {error}"))?;
    Ok(Running::Thread(finished))
}

/// Tries a file or a scene until it comes to its end, as one does with a camera.
fn persist(
    queue: &Arc<Queue>,
    mut backoff: Backoff,
    work: impl Fn(&Arc<Queue>) -> Result<(), Failure>,
) -> Item {
    loop {
        let Err(failure) = work(queue) else {
            return Item::End;
        };
        let wait = backoff.failed();
        let loss = Loss {
            reason: failure.reason(),
            detail: failure.text().to_owned(),
            attempts: backoff.attempts(),
        };
        if queue.tell(Item::Lost(loss)).is_err() || queue.wait_closed(wait) {
            return Item::End;
        }
    }
}

impl Running {
    /// Ends a backend whose queue is closed; false when it is still busy at the deadline and was left alone.
    pub fn stop(self, deadline: Duration) -> bool {
        match self {
            Self::Task(task) => {
                // The session is dropped by the runtime itself, which its farewell to the camera needs.
                task.abort();
                true
            }
            Self::Thread(finished) => !matches!(
                finished.recv_timeout(deadline),
                Err(mpsc::RecvTimeoutError::Timeout)
            ),
        }
    }
}
