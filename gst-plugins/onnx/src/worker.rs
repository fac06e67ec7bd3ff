//! A thread that analyses one picture at a time for a live stream, which waits only as long as it can afford.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::decode::{Candidate, Wanted};
use crate::model::{AnalysisError, Model};
use crate::preprocess::InputTensor;

/// A picture to analyse.
#[derive(Debug)]
pub struct Job {
    /// The picture.
    pub tensor: InputTensor,
    /// Which candidates are wanted.
    pub wanted: Wanted,
    /// How many at most.
    pub limit: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Answer {
    /// The tensor, for the next picture.
    pub tensor: InputTensor,
    /// The candidates.
    pub found: Result<Vec<Candidate>, AnalysisError>,
    /// How long it took.
    pub took: Duration,
}

/// What waiting brought.
#[derive(Debug)]
pub enum Waited {
    /// The answer came in time.
    Answer(Answer),
    /// The worker is still at it; its tensor comes back with a later answer.
    Busy,
    /// The thread is gone, which only a panic in it can cause.
    Gone,
}

/// The thread and the two ends of its channels, each of which holds one element at most.
#[derive(Debug)]
pub struct Worker {
    jobs: Option<SyncSender<Job>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
}

/// Analyses one picture on the caller's thread.
pub fn analyse(model: &Model, job: Job) -> Answer {
    let start = Instant::now();
    let found = model.analyse(&job.tensor.data, &job.wanted, job.limit);
    Answer {
        tensor: job.tensor,
        found,
        took: start.elapsed(),
    }
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(model: Arc<Model>) -> std::io::Result<Self> {
        let (jobs, inbox) = sync_channel::<Job>(1);
        let (outbox, answers) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("onnxinfer".to_owned())
            .spawn(move || {
                for job in inbox {
                    if outbox.send(analyse(&model, job)).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self {
            jobs: Some(jobs),
            answers,
            thread: Some(thread),
        })
    }

    /// Gives it a picture and waits for the answer for at most `patience`; it must not be at another one.
    pub fn analyse(&self, job: Job, patience: Duration) -> Waited {
        match &self.jobs {
            Some(jobs) if jobs.try_send(job).is_ok() => {}
            _ => return Waited::Gone,
        }
        match self.answers.recv_timeout(patience) {
            Ok(answer) => Waited::Answer(answer),
            Err(RecvTimeoutError::Timeout) => Waited::Busy,
            Err(RecvTimeoutError::Disconnected) => Waited::Gone,
        }
    }

    /// The answer to a picture that was not waited for, if it is there.
    pub fn late_answer(&self) -> Waited {
        match self.answers.try_recv() {
            Ok(answer) => Waited::Answer(answer),
            Err(TryRecvError::Empty) => Waited::Busy,
            Err(TryRecvError::Disconnected) => Waited::Gone,
        }
    }
}

impl Drop for Worker {
    /// Ends the thread; takes as long as the picture it is at.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            // The panic was told when it happened, and the element has failed with `Gone` since.
        }
    }
}
