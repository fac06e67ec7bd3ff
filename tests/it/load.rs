//! Many cameras at once: every picture that was sent is in the files, and in one of them only.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use support::daemon::{Config, Daemon};
use support::load::{self, Clip, LoadCamera, Stamp};

/// The files of a camera, in the order they were begun.
pub fn files(config: &Config, camera: &str) -> Vec<PathBuf> {
    let days = std::fs::read_dir(config.data().join("recordings").join(camera));
    let mut files: Vec<PathBuf> = days
        .into_iter()
        .flatten()
        .flat_map(|day| std::fs::read_dir(day.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files
}

/// The pictures of all files of a camera.
pub fn recorded(config: &Config, camera: &str) -> Vec<Stamp> {
    let files = files(config, camera);
    files.iter().flat_map(|file| load::stamps(file)).collect()
}

#[test]
fn no_picture_of_many_cameras_is_lost_and_none_comes_twice() {
    let clip = Arc::new(Clip::encode(320, 180, 30, 400, 4));
    let cameras: Vec<LoadCamera> = (0..6).map(|_| LoadCamera::start(&clip)).collect();
    let mut config = Config::new();
    for (number, camera) in cameras.iter().enumerate() {
        let name = format!("c{number}");
        let params = "segment-duration = 2000000000";
        config = config.camera(&name, &camera.uri(), "record", params);
    }
    let mut daemon = Daemon::start(&config);
    for number in 0..cameras.len() {
        daemon.wait_segments(&format!("c{number}"), 6, Duration::from_secs(60));
    }
    assert!(daemon.terminate(Duration::from_secs(10)).success());
    for number in 0..cameras.len() {
        let stamps = recorded(&config, &format!("c{number}"));
        assert!(stamps.len() > 300, "{} pictures", stamps.len());
        assert_eq!(
            load::faults(&stamps),
            (0, 0),
            "lost, twice: camera {number}"
        );
        assert!(stamps.is_sorted(), "the files hold them in order");
    }
}
