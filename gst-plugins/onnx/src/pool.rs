//! Those who wait for one model: who is next, and the threads that run it.
//!
//! Each client has one picture in the queue at most, so that the queue is as long as there are clients and what it
//! holds is the newest of each. A picture with motion goes before one without, unless that waits for too long; among
//! equals the one goes first whose client has had the least of the model's time (start-time fair queueing, Goyal and
//! others, 1996).

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::decode::{Candidate, Wanted};
use crate::model::{AnalysisError, Model};
use crate::preprocess::{InputTensor, Values};
use crate::runtime::lock;

/// A picture without motion that waited this long is as urgent as one with.
const STILL_WAITS: Duration = Duration::from_millis(500);
/// Pictures in one run, at most.
const BATCH: usize = 8;
/// How often batches are tried before it is judged whether they gain anything.
const TRIALS: u32 = 4;
/// The share of a picture's time alone that it must cost in a batch for batches to be worth their wait.
const GAIN: f64 = 0.9;

/// A picture to analyse.
#[derive(Debug)]
pub struct Job {
    /// The picture.
    pub tensor: InputTensor,
    /// Which candidates are wanted.
    pub wanted: Wanted,
    /// How many at most.
    pub limit: usize,
    /// Whether something moves on it.
    pub moving: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Answer {
    /// The tensor, for the next picture.
    pub tensor: InputTensor,
    /// The candidates.
    pub found: Result<Vec<Candidate>, AnalysisError>,
    /// How long the model took.
    pub took: Duration,
}

/// What waiting brought.
#[derive(Debug)]
pub enum Waited {
    /// The answer came in time.
    Answer(Answer),
    /// The model is still at it; the tensor comes back with a later answer.
    Busy,
    /// It did not come to it in time, and the picture was taken back.
    Withdrawn(InputTensor),
    /// The thread is gone, which only a panic in it can cause.
    Gone,
}

/// Analyses one picture on the caller's thread.
pub fn analyse(model: &Model, job: Job) -> Answer {
    let start = Instant::now();
    let found = model.analyse(&job.tensor, &job.wanted, job.limit);
    Answer {
        tensor: job.tensor,
        found,
        took: start.elapsed(),
    }
}

/// A picture that waits.
#[derive(Debug)]
struct Queued {
    client: u64,
    /// The client's share of the model's time when it came, which decides whose turn it is.
    tag: Duration,
    since: Instant,
    model: Arc<Model>,
    job: Job,
    answer: SyncSender<Answer>,
}

/// One who may wait.
#[derive(Debug)]
struct Member {
    id: u64,
    /// The model's time that it has had, in the pool's reckoning.
    used: Duration,
}

#[derive(Debug, Default)]
struct State {
    queue: Vec<Queued>,
    members: Vec<Member>,
    last_id: u64,
    /// The tag of the picture that was begun last: who joins or comes back begins here, and not with a credit.
    clock: Duration,
    batching: Batching,
    closing: bool,
}

/// Whether batches gain anything, by what was measured.
#[derive(Debug, Default)]
struct Batching {
    alone: Option<f64>,
    together: Option<f64>,
    trials: u32,
}

impl Batching {
    fn note(&mut self, pictures: usize, took: Duration) {
        let each = took.as_secs_f64() / pictures as f64;
        let slot = if pictures == 1 {
            &mut self.alone
        } else {
            self.trials = self.trials.saturating_add(1);
            &mut self.together
        };
        *slot = Some(slot.map_or(each, |mean| 0.8 * mean + 0.2 * each));
    }

    fn wants(&self) -> bool {
        match (self.alone, self.together) {
            (Some(alone), Some(together)) if self.trials >= TRIALS => together < GAIN * alone,
            // What a picture costs alone must be known first.
            (alone, _) => alone.is_some(),
        }
    }

    /// A batch that failed is not tried again.
    fn give_up(&mut self) {
        self.together = Some(f64::INFINITY);
        self.trials = TRIALS;
    }
}

impl State {
    /// Index of the picture that is next.
    fn next(&self, now: Instant) -> Option<usize> {
        let rank = |q: &Queued| {
            let urgent = q.job.moving || now.saturating_duration_since(q.since) >= STILL_WAITS;
            (!urgent, q.tag, q.since)
        };
        (0..self.queue.len()).min_by_key(|i| rank(&self.queue[*i]))
    }

    /// Takes the next picture out of the queue, and with it those that go into the same run.
    fn take(&mut self, now: Instant) -> Vec<Queued> {
        let Some(first) = self.next(now) else {
            return Vec::new();
        };
        let first = self.queue.remove(first);
        self.clock = self.clock.max(first.tag);
        let mut run = vec![first];
        if !self.batching.wants() || !run[0].model.takes_batches() {
            return run;
        }
        while run.len() < BATCH {
            let same = |q: &Queued| q.model.facts() == run[0].model.facts();
            match self.next(now).filter(|at| same(&self.queue[*at])) {
                Some(at) => run.push(self.queue.remove(at)),
                None => break,
            }
        }
        run
    }

    fn member(&mut self, id: u64) -> Option<&mut Member> {
        self.members.iter_mut().find(|m| m.id == id)
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

/// The queue and the threads.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts the threads, each of which runs one picture or one batch at a time.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(workers: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut pool = Self {
            shared,
            threads: Vec::new(),
        };
        for _ in 0..workers {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new()
                .name("onnx-pool".to_owned())
                .spawn(move || work(&shared))?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }
}

impl Drop for Pool {
    /// Ends the threads; takes as long as the pictures that they are at.
    fn drop(&mut self) {
        lock(&self.shared.state).closing = true;
        self.shared.wake.notify_all();
        for thread in self.threads.drain(..) {
            // A panic was told when it happened, and its client has failed with `Gone` since.
            thread.join().ok();
        }
    }
}

fn work(shared: &Shared) {
    let mut state = lock(&shared.state);
    loop {
        if state.closing {
            return;
        }
        let run = state.take(Instant::now());
        if run.is_empty() {
            state = shared
                .wake
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        drop(state);
        let start = Instant::now();
        let (clients, count): (Vec<u64>, usize) =
            (run.iter().map(|q| q.client).collect(), run.len());
        let fine = perform(run);
        let took = start.elapsed();
        state = lock(&shared.state);
        if fine {
            state.batching.note(count, took);
        } else {
            state.batching.give_up();
        }
        let each = took / u32::try_from(count).unwrap_or(u32::MAX);
        for client in clients {
            let clock = state.clock;
            if let Some(member) = state.member(client) {
                member.used = member.used.max(clock) + each;
            }
        }
    }
}

/// Runs pictures and answers; false when they could not be run together, and were run one by one.
fn perform(mut run: Vec<Queued>) -> bool {
    if run.len() > 1 {
        let start = Instant::now();
        if let Some(all) = together(&run) {
            let took = start.elapsed() / u32::try_from(run.len()).unwrap_or(u32::MAX);
            for (queued, found) in run.into_iter().zip(all) {
                // An error means that whoever asked went away.
                let answer = Answer {
                    tensor: queued.job.tensor,
                    found: Ok(found),
                    took,
                };
                queued.answer.send(answer).ok();
            }
            return true;
        }
    }
    let fine = run.len() == 1;
    for queued in run.drain(..) {
        // An error means that whoever asked went away.
        queued.answer.send(analyse(&queued.model, queued.job)).ok();
    }
    fine
}

/// What one run says of all the pictures; `None` when it fails, or the tensors are of different types.
fn together(run: &[Queued]) -> Option<Vec<Vec<Candidate>>> {
    let mut values: Option<Values> = None;
    for queued in run {
        match &mut values {
            None => values = Some(queued.job.tensor.values.clone()),
            Some(all) => {
                if !all.append(&queued.job.tensor.values) {
                    return None;
                }
            }
        }
    }
    let wanted: Vec<(&Wanted, usize)> = run.iter().map(|q| (&q.job.wanted, q.job.limit)).collect();
    run[0].model.analyse_batch(&values?, &wanted).ok()
}

/// One who waits for a model, a camera say.
#[derive(Debug)]
pub struct Client {
    model: Arc<Model>,
    pool: Arc<Pool>,
    id: u64,
    /// Where the answer comes to a picture that was not waited for.
    late: Option<Receiver<Answer>>,
}

impl Client {
    /// Joins those who wait for the model.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn join(model: Arc<Model>) -> std::io::Result<Self> {
        let pool = model.session().pool()?;
        let mut state = lock(&pool.shared.state);
        state.last_id += 1;
        let (id, used) = (state.last_id, state.clock);
        state.members.push(Member { id, used });
        drop(state);
        Ok(Self {
            model,
            pool,
            id,
            late: None,
        })
    }

    /// Puts a picture into the queue and waits for the answer for at most `patience`; the answer to the one before
    /// must have come.
    pub fn analyse(&mut self, job: Job, patience: Duration) -> Waited {
        let (answer, answers) = sync_channel(1);
        let mut state = lock(&self.pool.shared.state);
        let used = state.member(self.id).map_or(Duration::ZERO, |m| m.used);
        let tag = used.max(state.clock);
        state.queue.push(Queued {
            client: self.id,
            tag,
            since: Instant::now(),
            model: Arc::clone(&self.model),
            job,
            answer,
        });
        drop(state);
        self.pool.shared.wake.notify_one();
        match answers.recv_timeout(patience) {
            Ok(answer) => Waited::Answer(answer),
            Err(RecvTimeoutError::Disconnected) => Waited::Gone,
            Err(RecvTimeoutError::Timeout) => {
                let mut state = lock(&self.pool.shared.state);
                if let Some(at) = state.queue.iter().position(|q| q.client == self.id) {
                    return Waited::Withdrawn(state.queue.remove(at).job.tensor);
                }
                drop(state);
                self.late = Some(answers);
                Waited::Busy
            }
        }
    }

    /// The answer to a picture that was not waited for, if it is there.
    pub fn late_answer(&mut self) -> Waited {
        let waited = match self.late.as_ref().map(Receiver::try_recv) {
            Some(Ok(answer)) => Waited::Answer(answer),
            Some(Err(TryRecvError::Empty)) => return Waited::Busy,
            Some(Err(TryRecvError::Disconnected)) | None => Waited::Gone,
        };
        self.late = None;
        waited
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut state = lock(&self.pool.shared.state);
        state.members.retain(|m| m.id != self.id);
        state.queue.retain(|q| q.client != self.id);
    }
}
