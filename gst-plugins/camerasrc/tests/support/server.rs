//! An RTSP server in this process that is started, killed, and started again.

use std::sync::mpsc::channel;

use gst::glib;
use gst_rtsp_server::prelude::*;

use super::init;

/// A server with a thread of its own.
pub struct Server {
    main: glib::MainLoop,
    thread: Option<std::thread::JoinHandle<()>>,
    pub port: i32,
}

impl Server {
    /// A server for one stream at `/cam`; port 0 is any free one.
    pub fn start(port: i32, launch: &str) -> Self {
        Self::start_with(port, launch, |_| {})
    }

    /// The same, with something done to the server before it listens.
    pub fn start_with(
        port: i32,
        launch: &str,
        prepare: impl FnOnce(&gst_rtsp_server::RTSPServer) + Send + 'static,
    ) -> Self {
        init();
        let (send, ready) = channel();
        let launch = launch.to_owned();
        let thread = std::thread::spawn(move || {
            let context = glib::MainContext::new();
            let main = glib::MainLoop::new(Some(&context), false);
            let server = gst_rtsp_server::RTSPServer::new();
            server.set_address("127.0.0.1");
            server.set_service(&port.to_string());
            // Connections live in this thread, so that this thread can cut them.
            server.thread_pool().unwrap().set_max_threads(0);
            prepare(&server);
            let factory = gst_rtsp_server::RTSPMediaFactory::new();
            factory.set_launch(&launch);
            factory.set_shared(true);
            // With access control on, whoever comes may watch.
            let role = gst::Structure::builder("anonymous")
                .field("media.factory.access", true)
                .field("media.factory.construct", true)
                .build();
            factory.add_role_from_structure(&role);
            server.mount_points().unwrap().add_factory("/cam", factory);
            let source = server.attach(Some(&context)).unwrap();
            send.send((main.clone(), server.bound_port())).unwrap();
            main.run();
            server.client_filter(Some(&mut |_, _| gst_rtsp_server::RTSPFilterResult::Remove));
            context.find_source_by_id(&source).unwrap().destroy();
        });
        let (main, port) = ready.recv().unwrap();
        Self {
            main,
            thread: Some(thread),
            port,
        }
    }

    pub fn uri(&self) -> String {
        format!("rtsp://127.0.0.1:{}/cam", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.main.quit();
        self.thread.take().unwrap().join().unwrap();
    }
}
