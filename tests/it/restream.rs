//! The re-stream is read by real clients at the same time, over TCP and UDP, without transcoding.

use std::process::Command;
use std::time::{Duration, Instant};

use support::camera::RtspCamera;
use support::daemon::{Config, Daemon};
use support::{gst_command, has_program, media, run};

fn ffprobe(uri: &str, transport: &str) -> Command {
    let mut command = Command::new("ffprobe");
    command.args([
        "-v",
        "error",
        "-rtsp_transport",
        transport,
        "-read_intervals",
        "%+3",
        "-select_streams",
        "v",
    ]);
    command.args([
        "-count_packets",
        "-show_entries",
        "stream=codec_name,width,height,nb_read_packets",
        "-of",
        "json",
    ]);
    command.arg(uri);
    command
}

fn gst_read(uri: &str, transport: &str) -> Command {
    let mut command = gst_command("gst-launch-1.0");
    let location = format!("location={uri}");
    let protocols = format!("protocols={transport}");
    command.args([
        "-q",
        "rtspsrc",
        &location,
        &protocols,
        "latency=100",
        "!",
        "rtph264depay",
        "!",
        "h264parse",
        "!",
    ]);
    command.args([
        "avdec_h264",
        "!",
        "identity",
        "eos-after=30",
        "!",
        "fakesink",
        "sync=false",
    ]);
    command
}

#[test]
fn ffprobe_and_gstreamer_read_at_once_over_tcp_and_udp() {
    if !has_program("ffprobe") {
        println!("SKIP: ffprobe is not installed");
        return;
    }
    let camera = RtspCamera::start(&media::street());
    let config = Config::new().camera("street", &camera.uri(), "record", "");
    let daemon = Daemon::start(&config);
    daemon.wait_state("street", "running", Duration::from_secs(30));
    let uri = format!("{}/street", daemon.rtsp);
    let limit = Duration::from_secs(40);
    std::thread::scope(|scope| {
        let probes: Vec<_> = ["tcp", "udp"]
            .map(|transport| scope.spawn(|| run(&mut ffprobe(&uri, transport), limit)))
            .into();
        let readers: Vec<_> = ["tcp", "udp"]
            .map(|transport| scope.spawn(|| run(&mut gst_read(&uri, transport), limit)))
            .into();
        for probe in probes {
            let output = probe.join().unwrap();
            let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let stream = &found["streams"][0];
            assert_eq!(stream["codec_name"], "h264", "{found}");
            assert!(stream["width"].as_i64().unwrap() >= 640, "{found}");
            let packets: u32 = stream["nb_read_packets"].as_str().unwrap().parse().unwrap();
            assert!(packets >= 20, "{found}");
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn an_h265_camera_comes_out_as_h265() {
    if !has_program("ffprobe") {
        println!("SKIP: ffprobe is not installed");
        return;
    }
    let (_folder, clip) = media::generated_h265("I420");
    let camera = RtspCamera::start_h265(&clip);
    let config = Config::new().camera(
        "hevc",
        &camera.uri(),
        "motion",
        "segment-duration = 2000000000",
    );
    let daemon = Daemon::start(&config);
    daemon.wait_state("hevc", "running", Duration::from_secs(30));
    daemon.wait_segments("hevc", 1, Duration::from_secs(30));
    let output = run(
        &mut ffprobe(&format!("{}/hevc", daemon.rtsp), "tcp"),
        Duration::from_secs(30),
    );
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["streams"][0]["codec_name"], "hevc", "{found}");
    assert_eq!(found["streams"][0]["width"], 320, "{found}");
    assert_eq!(daemon.segments("hevc")[0]["codec"], "h265");
}

#[test]
fn a_viewer_sees_the_first_picture_before_the_next_key_frame() {
    // The pictures' key frames are 2.5 s apart; a viewer who had to wait for the next one would wait 1.25 s on average.
    let config = Config::new().camera("ball", "test://ball", "record", "");
    let daemon = Daemon::start(&config);
    daemon.wait_state("ball", "running", Duration::from_secs(30));
    let uri = format!("location={}/ball", daemon.rtsp);
    let start = Instant::now();
    let mut command = gst_command("gst-launch-1.0");
    command.args([
        "-q",
        "rtspsrc",
        &uri,
        "protocols=tcp",
        "latency=0",
        "!",
        "rtph264depay",
        "!",
        "h264parse",
        "!",
    ]);
    command.args([
        "avdec_h264",
        "!",
        "identity",
        "eos-after=2",
        "!",
        "fakesink",
        "sync=false",
    ]);
    run(&mut command, Duration::from_secs(20));
    println!(
        "two pictures after {:?}, the client's own start included",
        start.elapsed()
    );
}

#[test]
fn a_mount_that_does_not_exist_is_refused_and_others_go_on() {
    if !has_program("ffprobe") {
        println!("SKIP: ffprobe is not installed");
        return;
    }
    let config = Config::new().camera("ball", "test://ball", "record", "");
    let daemon = Daemon::start(&config);
    daemon.wait_state("ball", "running", Duration::from_secs(30));
    let missing = support::run_any(
        &mut ffprobe(&format!("{}/nobody", daemon.rtsp), "tcp"),
        Duration::from_secs(20),
    );
    assert!(!missing.status.success());
    assert!(
        String::from_utf8_lossy(&missing.stderr).contains("404"),
        "{missing:?}"
    );
    run(
        &mut ffprobe(&format!("{}/ball", daemon.rtsp), "tcp"),
        Duration::from_secs(30),
    );
}

#[test]
fn a_camera_without_pictures_is_refused_and_shows_no_old_ones() {
    if !has_program("ffprobe") {
        println!("SKIP: ffprobe is not installed");
        return;
    }
    let config = Config::new()
        .camera("ball", "test://ball", "record", "")
        .camera("away", "rtsp://127.0.0.1:9/cam", "record", "");
    let daemon = Daemon::start(&config);
    daemon.wait_state("ball", "running", Duration::from_secs(30));
    let limit = Duration::from_secs(20);
    let away = support::run_any(&mut ffprobe(&format!("{}/away", daemon.rtsp), "tcp"), limit);
    assert!(!away.status.success());
    let (status, error) = daemon.request("GET", "/cameras/away/snapshot.jpg", None);
    assert_eq!(status, 503);
    assert!(
        error["detail"].as_str().unwrap().contains("127.0.0.1:9"),
        "{error}"
    );
    run(&mut ffprobe(&format!("{}/ball", daemon.rtsp), "tcp"), limit);
}
