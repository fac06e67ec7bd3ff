//! Several cameras at one model: everybody gets the same share, motion goes first, nothing is lost or left behind.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on must fail, and a skipped one says so"
)]

#[path = "support/onnx.rs"]
mod onnx;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nvr_onnx::decode::Wanted;
use nvr_onnx::model::{Model, OpenOptions};
use nvr_onnx::pool::{Client, Job, Waited};
use nvr_onnx::preprocess::{InputTensor, Values};

const PATIENCE: Duration = Duration::from_secs(60);

/// The folder stays until the model is done with: more sessions are opened when they are needed.
fn open(bytes: &[u8], workers: usize) -> Option<(Arc<Model>, tempfile::TempDir)> {
    let told = std::env::var("ORT_DYLIB_PATH").ok().map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let library = told.unwrap_or_else(|| beside.join(".deps/onnxruntime/libonnxruntime.so"));
    if !library.exists() {
        println!("SKIP: no ONNX Runtime at {}", library.display());
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let model = onnx::write(folder.path(), "m.onnx", bytes, "labels = [\"a\", \"b\"]");
    let options = OpenOptions {
        model,
        library: library.to_str().unwrap().to_owned(),
        threads: 1,
        workers,
        ..OpenOptions::default()
    };
    Some((Arc::new(Model::open(&options).unwrap()), folder))
}

fn job(model: &Model, level: f32, moving: bool) -> Job {
    let mut tensor = InputTensor::from(model.blank());
    if let Values::F32(values) = &mut tensor.values {
        values.fill(level);
    }
    Job {
        tensor,
        wanted: Wanted {
            threshold: 0.5,
            classes: None,
        },
        limit: 5,
        moving,
    }
}

#[test]
fn four_cameras_share_two_workers_alike() {
    let Some((model, _folder)) = open(&onnx::slow(), 2) else {
        return;
    };
    let stop = AtomicBool::new(false);
    let counts: [AtomicU64; 4] = Default::default();
    std::thread::scope(|scope| {
        for count in &counts {
            let (model, stop) = (&model, &stop);
            scope.spawn(move || {
                let mut client = Client::join(Arc::clone(model)).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    let job = job(model, 0.0, false);
                    match client.analyse(job, PATIENCE) {
                        Waited::Answer(answer) => drop(answer.found.unwrap()),
                        other => panic!("{other:?}"),
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while counts
            .iter()
            .map(|c| c.load(Ordering::Relaxed))
            .sum::<u64>()
            < 320
        {
            std::thread::yield_now();
            std::thread::park_timeout(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let counts = counts.map(|c| c.load(Ordering::Relaxed));
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    let total: u64 = counts.iter().sum();
    assert!(
        (most - least) * 40 <= total,
        "within a tenth of a share: {counts:?}"
    );
}

#[test]
fn motion_goes_first_and_late_answers_come_back() {
    let Some((model, _folder)) = open(&onnx::slow(), 1) else {
        return;
    };
    let order = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        // One that is at it, so that the others have to queue.
        let mut first = Client::join(Arc::clone(&model)).unwrap();
        assert!(matches!(
            first.analyse(job(&model, 0.0, false), Duration::from_micros(300)),
            Waited::Busy | Waited::Withdrawn(_)
        ));
        let busy = Instant::now();
        for (name, moving) in [("still", false), ("moving", true)] {
            let (model, order) = (&model, &order);
            let mut client = Client::join(Arc::clone(model)).unwrap();
            scope.spawn(move || {
                let waited = client.analyse(job(model, 0.0, moving), PATIENCE);
                assert!(matches!(waited, Waited::Answer(_)), "{waited:?}");
                order.lock().unwrap().push(name);
            });
            // The queue is in the order in which they came.
            std::thread::park_timeout(Duration::from_micros(200));
        }
        while matches!(first.late_answer(), Waited::Busy) && busy.elapsed() < PATIENCE {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    });
    let order = order.into_inner().unwrap();
    assert_eq!(order.len(), 2);
}

#[test]
fn a_file_that_is_gone_leaves_the_open_session_to_all() {
    let Some((model, folder)) = open(&onnx::slow(), 2) else {
        return;
    };
    drop(folder);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = Client::join(Arc::clone(&model)).unwrap();
                for _ in 0..3 {
                    let waited = client.analyse(job(&model, 0.0, false), PATIENCE);
                    assert!(matches!(waited, Waited::Answer(answer) if answer.found.is_ok()));
                }
            });
        }
    });
}

#[test]
fn batches_give_each_its_own_answer() {
    let Some((model, _folder)) = open(&onnx::brightness_of_many(), 1) else {
        return;
    };
    std::thread::scope(|scope| {
        for camera in 0..6_u8 {
            let model = &model;
            scope.spawn(move || {
                let mut client = Client::join(Arc::clone(model)).unwrap();
                for i in 0..200_u8 {
                    let level = 130.0 + f32::from(camera) * 20.0 + f32::from(i % 5);
                    let Waited::Answer(answer) = client.analyse(job(model, level, false), PATIENCE)
                    else {
                        panic!("no answer")
                    };
                    let found = answer.found.unwrap();
                    assert!((found[0].score - level / 255.0).abs() < 1e-4, "{found:?}");
                }
            });
        }
    });
}

#[test]
fn who_leaves_takes_nothing_along() {
    let Some((model, _folder)) = open(&onnx::slow(), 2) else {
        return;
    };
    for _ in 0..5 {
        let mut clients: Vec<Client> = (0..4)
            .map(|_| Client::join(Arc::clone(&model)).unwrap())
            .collect();
        for client in &mut clients {
            let waited = client.analyse(job(&model, 0.0, true), Duration::ZERO);
            assert!(matches!(waited, Waited::Busy | Waited::Withdrawn(_)));
        }
    }
    let mut last = Client::join(Arc::clone(&model)).unwrap();
    let waited = last.analyse(job(&model, 0.0, true), PATIENCE);
    assert!(matches!(waited, Waited::Answer(_)));
}
