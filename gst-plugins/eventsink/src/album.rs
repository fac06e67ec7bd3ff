//! The folder of thumbnails: a thread that encodes and writes, so that the pictures behind do not wait.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::thumbnail::{Thumbnail, write_atomically};

/// Pictures that wait at most; at 480 by 270 pixels they take 12 MB.
const QUEUE: usize = 32;

enum Job {
    Write {
        id: String,
        shot: Arc<Thumbnail>,
    },
    /// Answer when everything before is written.
    Answer(SyncSender<()>),
}

/// A folder that takes thumbnails.
#[derive(Debug)]
pub struct Album {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Album {
    /// Makes the folder where it is missing, and starts the thread; `report` hears of the first failure.
    ///
    /// # Errors
    /// When the folder cannot be made or takes no file, or no thread can be started.
    pub fn open(folder: &Path, report: impl FnOnce(String) + Send + 'static) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        // Under a name of its own: many cameras start at once and share the folder.
        tempfile::Builder::new()
            .prefix(".nvrd-probe")
            .tempfile_in(folder)?
            .close()?;
        let (jobs, receiver) = sync_channel(QUEUE);
        let folder = folder.to_owned();
        let thread = std::thread::Builder::new()
            .name("eventsink-jpeg".to_owned())
            .spawn(move || work(&folder, &receiver, report))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Hands over a picture of an event. With `patient` it waits for room, else a full queue drops the picture.
    /// Returns whether it was taken.
    pub fn put(&self, id: &str, shot: Arc<Thumbnail>, patient: bool) -> bool {
        let Some(jobs) = &self.jobs else { return false };
        let job = Job::Write {
            id: id.to_owned(),
            shot,
        };
        match jobs.try_send(job) {
            Ok(()) => true,
            Err(TrySendError::Full(job)) => patient && jobs.send(job).is_ok(),
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    /// Waits until everything handed over is written.
    pub fn settle(&self) {
        let (done, wait) = sync_channel(1);
        let asked = self
            .jobs
            .as_ref()
            .is_some_and(|jobs| jobs.send(Job::Answer(done)).is_ok());
        if asked {
            // An error means that the thread is gone: then nothing is left to wait for.
            wait.recv().ok();
        }
    }
}

impl Drop for Album {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked that was printed by then; there is nobody left to tell.
            thread.join().ok();
        }
    }
}

fn work(folder: &Path, jobs: &Receiver<Job>, report: impl FnOnce(String)) {
    let mut report = Some(report);
    for job in jobs {
        match job {
            Job::Write { id, shot } => {
                if let Err(error) = write(folder, &id, &shot)
                    && let Some(report) = report.take()
                {
                    report(format!("cannot write {id}.jpg into {folder:?}: {error}"));
                }
            }
            Job::Answer(done) => {
                // An error means that whoever asked went away.
                done.send(()).ok();
            }
        }
    }
}

fn write(folder: &Path, id: &str, shot: &Thumbnail) -> io::Result<()> {
    let jpeg = shot.to_jpeg().map_err(io::Error::other)?;
    write_atomically(folder, id, &jpeg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn many_open_one_folder_at_once() {
        let root = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        Album::open(root.path(), |_| {}).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn pictures_are_there_when_it_settles_and_a_failure_is_told_once() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("shots");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        let album = Album::open(&folder, move |text| ear.lock().unwrap().push(text)).unwrap();
        let shot = Arc::new(Thumbnail {
            width: 2,
            height: 1,
            rgb: vec![0, 0, 0, 255, 255, 255],
        });
        // More than the queue holds: who is patient loses nothing.
        for index in 0..3 * QUEUE {
            assert!(album.put(&index.to_string(), Arc::clone(&shot), true));
        }
        album.settle();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3 * QUEUE);
        fs::remove_dir_all(&folder).unwrap();
        for id in ["a", "b"] {
            assert!(album.put(id, Arc::clone(&shot), true));
        }
        drop(album);
        let heard = heard.lock().unwrap();
        assert_eq!(heard.len(), 1);
        assert!(heard[0].contains("cannot write a.jpg"), "{heard:?}");
    }
}
