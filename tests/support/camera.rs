//! An RTSP camera for tests: a server that plays a clip in real time, and can die and come back.

use std::path::Path;
use std::thread::JoinHandle;

use gst::glib;
use gst_rtsp_server::prelude::*;

/// A server that plays one clip at `/cam`; it goes with the value.
pub struct RtspCamera {
    server: gst_rtsp_server::RTSPServer,
    context: glib::MainContext,
    main_loop: glib::MainLoop,
    thread: Option<JoinHandle<()>>,
    port: u16,
}

impl RtspCamera {
    /// A camera on a free port.
    pub fn start(clip: &Path) -> Self {
        Self::start_on(clip, 0)
    }

    /// A camera with H.265 on a free port.
    pub fn start_h265(clip: &Path) -> Self {
        Self::serve(clip, 0, "h265parse ! rtph265pay")
    }

    /// A camera with H.265 on a port.
    pub fn serve_h265_on(clip: &Path, port: u16) -> Self {
        Self::serve(clip, port, "h265parse ! rtph265pay")
    }

    /// A camera on a port; 0 takes a free one.
    pub fn start_on(clip: &Path, port: u16) -> Self {
        Self::serve(clip, port, "h264parse ! rtph264pay")
    }

    fn serve(clip: &Path, port: u16, payloader: &str) -> Self {
        gst::init().unwrap();
        let context = glib::MainContext::new();
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let server = gst_rtsp_server::RTSPServer::new();
        server.set_address("127.0.0.1");
        server.set_service(&port.to_string());
        let factory = gst_rtsp_server::RTSPMediaFactory::new();
        factory.set_launch(&format!(
            "( filesrc location=\"{}\" ! qtdemux ! {payloader} name=pay0 pt=96 config-interval=-1 )",
            clip.display()
        ));
        factory.set_shared(false);
        server.mount_points().unwrap().add_factory("/cam", factory);
        server.attach(Some(&context)).unwrap();
        let port = u16::try_from(server.bound_port()).unwrap();
        let runner = main_loop.clone();
        let running = context.clone();
        let thread =
            std::thread::spawn(move || running.with_thread_default(|| runner.run()).unwrap());
        Self {
            server,
            context,
            main_loop,
            thread: Some(thread),
            port,
        }
    }

    /// Where it is.
    pub fn uri(&self) -> String {
        format!("rtsp://127.0.0.1:{}/cam", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for RtspCamera {
    fn drop(&mut self) {
        // Every connection is cut, as when the camera loses power.
        self.server
            .client_filter(Some(&mut |_, _| gst_rtsp_server::RTSPFilterResult::Remove));
        // From inside the loop: a call from here is lost when the thread has not entered it yet.
        let main_loop = self.main_loop.clone();
        let quit = glib::idle_source_new(None, glib::Priority::DEFAULT, move || {
            main_loop.quit();
            glib::ControlFlow::Break
        });
        quit.attach(Some(&self.context));
        self.thread.take().unwrap().join().unwrap();
    }
}
