//! Pictures of recordings as clients see them: the right one for a moment, also of what is being written.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::daemon::{Config, Daemon};
use support::{has_program, media, run, wait_for};

/// A picture of a recording, and when it was shown first, microseconds since 1970.
fn frame(daemon: &Daemon, camera: &str, query: &str) -> (i64, Vec<u8>) {
    let path = format!("/recordings/{camera}/frame.jpg?{query}");
    let (status, headers, body) = daemon.answer(&path);
    let text = String::from_utf8_lossy(&body).into_owned();
    assert_eq!(status, 200, "{path}: {text}");
    assert_eq!(&body[..2], [0xff, 0xd8], "{path}");
    let shown: f64 = headers["x-frame-unix"].to_str().unwrap().parse().unwrap();
    ((shown * 1e6).round() as i64, body)
}

fn seconds(unix_us: i64) -> String {
    format!("{}.{:06}", unix_us / 1_000_000, unix_us % 1_000_000)
}

fn us(segment: &Value, key: &str) -> i64 {
    segment[key].as_i64().unwrap()
}

/// The file of a segment, fetched as a client does.
fn download(daemon: &Daemon, folder: &Path, segment: &Value) -> PathBuf {
    let url = segment["url"].as_str().unwrap();
    let (status, _, body) = daemon.bytes(url.strip_prefix("/api/v1").unwrap());
    assert_eq!(status, 200);
    let path = folder.join(format!("{}.mp4", segment["id"].as_str().unwrap()));
    std::fs::write(&path, body).unwrap();
    path
}

/// A picture as ffmpeg decodes it, small and in colours: of picture number `number` of a video, or of a JPEG.
fn pixels(file: &Path, number: usize) -> Vec<u8> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(file);
    let filter = format!("select=eq(n\\,{number}),scale=160:90:flags=area,format=rgb24");
    ffmpeg.args(["-vf", &filter, "-frames:v", "1", "-f", "rawvideo", "-"]);
    let shown = run(&mut ffmpeg, Duration::from_secs(30)).stdout;
    assert_eq!(shown.len(), 3 * 160 * 90, "{}", file.display());
    shown
}

/// The mean difference of two pictures' pixels, 0 to 255.
fn difference(a: &[u8], b: &[u8]) -> f64 {
    let sum: u64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum();
    sum as f64 / a.len() as f64
}

#[test]
fn a_moment_shows_the_very_picture_that_another_decoder_finds_there() {
    if !has_program("ffmpeg") {
        println!("SKIP: ffmpeg is not installed");
        return;
    }
    let uri = format!(
        "file://{}?loop=true&realtime=true",
        media::street().display()
    );
    let (_folder, hevc) = media::generated_h265("I420");
    let hevc = format!("file://{}?loop=true&realtime=true", hevc.display());
    let duration = "segment-duration = 4000000000";
    let config = Config::new()
        .camera("street", &uri, "record", duration)
        .camera("hevc", &hevc, "record", duration);
    let daemon = Daemon::start(&config);
    for camera in ["street", "hevc"] {
        let segments = daemon.wait_segments(camera, 2, Duration::from_secs(60));
        let (segment, start, end) = {
            let segment = &segments[0];
            (
                segment,
                us(segment, "start_unix_us"),
                us(segment, "end_unix_us"),
            )
        };
        let file = download(&daemon, config.folder(), segment);
        let count = segment["frames"].as_u64().unwrap();
        let length = (end - start) as u64 / count;
        // The first one, one behind a key frame, one deep in a group, the last one.
        for number in [0, 1, count / 2 + 3, count - 1] {
            let middle = start + (number * length + length / 2) as i64;
            let (shown, jpeg) = frame(&daemon, camera, &format!("at_unix={}", seconds(middle)));
            assert!(
                (middle - shown) < length as i64,
                "{camera} {number}: {shown} for {middle}"
            );
            let picture = config.folder().join("frame.jpg");
            std::fs::write(&picture, jpeg).unwrap();
            let got = pixels(&picture, 0);
            // JPEG costs less than one step on average, and so does another scaler.
            let here = difference(&got, &pixels(&file, number as usize));
            assert!(here < 2.0, "{camera} {number}: {here}");
        }
        let (key, _) = frame(
            &daemon,
            camera,
            &format!("at_unix={}&exact=false", seconds(end - 1)),
        );
        assert!((start..end).contains(&key));
        let url = segment["thumbnail_url"].as_str().unwrap();
        let (status, kind, _) = daemon.bytes(url.strip_prefix("/api/v1").unwrap());
        assert_eq!((status, kind.as_str()), (200, "image/jpeg"));
    }
}

#[test]
fn the_segment_that_is_being_written_has_pictures_and_a_stop_has_a_reason() {
    let config = Config::new().camera("ball", "test://ball?width=320&height=180", "record", "");
    let mut daemon = Daemon::start(&config);
    daemon.wait_state("ball", "running", Duration::from_secs(30));
    // A minute long by default: nothing is listed yet.
    let begun = daemon.get("/cameras/ball")["status"]["since_unix_us"]
        .as_i64()
        .unwrap();
    let moment = begun + 1_500_000;
    let at = format!("at_unix={}", seconds(moment));
    wait_for(
        "a picture of the open file",
        Duration::from_secs(30),
        || {
            let (status, headers, body) =
                daemon.answer(&format!("/recordings/ball/frame.jpg?{at}"));
            if status == 404 {
                return None;
            }
            assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
            assert_eq!(headers["cache-control"], "no-store");
            Some(())
        },
    );
    assert!(daemon.segments("ball").is_empty());
    let (shown, picture) = frame(&daemon, "ball", &at);
    assert!(
        (0..100_000).contains(&(moment - shown)),
        "{shown} for {moment}"
    );
    let range = format!(
        "start_unix={}&end_unix={}",
        seconds(moment - 1_000_000),
        seconds(moment + 1_000_000)
    );
    let cells =
        daemon.get(&format!("/recordings/ball/sprite.json?{range}&count=1"))["cells"].clone();
    assert!(cells[0]["unix_us"].is_i64(), "{cells}");
    let early = format!(
        "/recordings/ball/frame.jpg?at_unix={}",
        seconds(begun - 60_000_000)
    );
    let (status, body) = daemon.request("GET", &early, None);
    let text = body["detail"].as_str().unwrap();
    assert!(
        status == 404 && text.contains("what is after it begins at"),
        "{body}"
    );

    // The same picture of the same moment after a kill, out of what was found on disk.
    daemon.kill();
    let daemon = Daemon::start(&config);
    assert_eq!(daemon.segments("ball").len(), 1);
    assert_eq!(frame(&daemon, "ball", &at), (shown, picture));
}
