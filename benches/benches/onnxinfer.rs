//! What `onnxinfer` costs on top of the model itself: the element per picture, the bare session, and the parts.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on must fail, and its figures are its output"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_app::{AppSink, AppSrc};
use nvr_onnx::decode::{self, Tensor, Wanted};
use nvr_onnx::model::{Model, OpenOptions};
use nvr_onnx::nms;
use nvr_onnx::preprocess::{Colour, InputTensor, Picture, Pixels, Plane, Preprocessor, Values};

/// Runs per round, and rounds, of which the fastest counts.
const PICTURES: u32 = 20;
const ROUNDS: usize = 25;
/// Pictures through the element, and as many runs of the bare session between them.
const PAIRS: usize = 300;
const WIDTH: usize = 1920;
const HEIGHT: usize = 1080;

fn existing(what: &str, path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    println!("SKIP: onnxinfer needs {what} at {}", path.display());
    None
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Time of `work`: the fastest of `ROUNDS` rounds of `PICTURES`, which other work on the machine disturbs least.
fn time(mut work: impl FnMut()) -> Duration {
    let round = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..PICTURES).for_each(|_| work());
        start.elapsed() / PICTURES
    };
    (0..ROUNDS).map(|_| round(&mut work)).min().unwrap()
}

fn make(name: &str) -> gst::Element {
    gst::ElementFactory::make(name).build().unwrap()
}

fn line(elements: &[&gst::Element]) -> gst::Pipeline {
    let pipeline = gst::Pipeline::new();
    pipeline.add_many(elements).unwrap();
    gst::Element::link_many(elements).unwrap();
    pipeline
}

/// The picture of a JPEG file at the size and in the format of the measurement.
fn picture(file: &Path, format: &str) -> gst::Sample {
    let (source, decoder, convert, scale) = (
        make("filesrc"),
        make("jpegdec"),
        make("videoconvert"),
        make("videoscale"),
    );
    source.set_property("location", file.to_str().unwrap());
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", format)
        .field("width", WIDTH as i32)
        .field("height", HEIGHT as i32)
        .build();
    let sink = AppSink::builder().caps(&caps).sync(false).build();
    let pipeline = line(&[&source, &decoder, &scale, &convert, sink.upcast_ref()]);
    pipeline.set_state(gst::State::Playing).unwrap();
    let sample = sink.pull_sample().unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    sample
}

fn preprocess(model: &Model, format: &str, sample: &gst::Sample) -> InputTensor {
    let map = sample.buffer().unwrap().map_readable().unwrap();
    let (luma, chroma) = map.split_at(WIDTH * HEIGHT);
    let plane = |data, stride| Plane { data, stride };
    let pixels = match format {
        "I420" => {
            let (u, v) = chroma.split_at(WIDTH * HEIGHT / 4);
            Pixels::I420 {
                y: plane(luma, WIDTH),
                u: plane(u, WIDTH / 2),
                v: plane(v, WIDTH / 2),
            }
        }
        "NV12" => Pixels::Nv12 {
            y: plane(luma, WIDTH),
            uv: plane(chroma, WIDTH),
        },
        _ => Pixels::Rgb(plane(&map, 3 * WIDTH)),
    };
    let picture = Picture {
        width: WIDTH,
        height: HEIGHT,
        pixels,
        colour: Colour::BT709,
    };
    let mut preprocessor = Preprocessor::new(model.facts().input.clone());
    let mut tensor = InputTensor::default();
    let cost = time(|| {
        preprocessor.fill(&picture, &mut tensor).unwrap();
    });
    println!(
        "onnxinfer: preprocess {WIDTH}x{HEIGHT} {format}: {} us",
        cost.as_micros()
    );
    tensor
}

/// What the model takes; YOLOX takes floats.
fn floats(tensor: &InputTensor) -> &[f32] {
    match &tensor.values {
        Values::F32(values) => values,
        _ => &[],
    }
}

fn postprocess(model: &Model, tensor: &InputTensor) {
    let copy = |outputs: &[Tensor<'_>]| -> Vec<(String, Vec<usize>, Vec<f32>)> {
        outputs
            .iter()
            .map(|o| (o.name.to_owned(), o.shape.to_vec(), o.data.to_vec()))
            .collect()
    };
    let outputs = model
        .session()
        .run(model.shape(), floats(tensor), copy)
        .unwrap();
    let tensors: Vec<Tensor<'_>> = outputs
        .iter()
        .map(|(name, shape, data)| Tensor { name, shape, data })
        .collect();
    let decoder = decode::for_model(model.facts()).expect("the model finds objects");
    let wanted = Wanted {
        threshold: 0.4,
        classes: None,
    };
    let mut count = 0;
    let cost = time(|| {
        let candidates = decoder.decode(&tensors, &wanted).unwrap();
        count = nms::suppress(candidates, model.facts().nms_iou, 100).len();
    });
    println!(
        "onnxinfer: postprocess ({count} objects): {} us",
        cost.as_micros()
    );
}

/// The element in a pipeline against the bare session on a prepared tensor.
fn compare(model: &Model, tensor: &InputTensor, element: &gst::Element, sample: &gst::Sample) {
    let source = AppSrc::builder()
        .caps(&sample.caps_owned().unwrap())
        .format(gst::Format::Time)
        .build();
    let sink = AppSink::builder().sync(false).build();
    let pipeline = line(&[source.upcast_ref(), element, sink.upcast_ref()]);
    pipeline.set_state(gst::State::Playing).unwrap();
    let one_picture = || {
        let start = Instant::now();
        source.push_buffer(sample.buffer_owned().unwrap()).unwrap();
        sink.pull_sample().unwrap();
        start.elapsed()
    };
    let bare = || {
        let start = Instant::now();
        let run = model.session().run(model.shape(), floats(tensor), |_| ());
        run.unwrap();
        start.elapsed()
    };
    one_picture();
    // Turn by turn, so that a busy machine hits both alike.
    let pairs: Vec<(Duration, Duration)> = (0..PAIRS).map(|_| (bare(), one_picture())).collect();
    pipeline.set_state(gst::State::Null).unwrap();
    let bare = median(pairs.iter().map(|p| p.0).collect());
    let with = median(pairs.iter().map(|p| p.1).collect());
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    println!("onnxinfer: bare session: {:.2} ms", ms(bare));
    println!(
        "onnxinfer: element, NV12 {WIDTH}x{HEIGHT}: {:.2} ms",
        ms(with)
    );
    println!(
        "onnxinfer: overhead: {:.1} %",
        (ms(with) / ms(bare) - 1.0) * 100.0
    );
}

fn main() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shared =
        std::env::var("NVRD_SHARED").map_or_else(|_| workspace.join("../shared"), PathBuf::from);
    let told = std::env::var("ORT_DYLIB_PATH").map(PathBuf::from);
    let library = told.unwrap_or_else(|_| workspace.join(".deps/onnxruntime/libonnxruntime.so"));
    let (Some(library), Some(file), Some(photo)) = (
        existing("ONNX Runtime", library),
        existing("a model", shared.join("models/yolox_nano_coco_416.onnx")),
        existing("a photo", shared.join("media/images/dog.jpg")),
    ) else {
        return;
    };
    gst::init().unwrap();
    gstonnxinfer::register_static().unwrap();
    let model = Model::open(&OpenOptions {
        model: file.clone(),
        facts: None,
        library: library.to_str().unwrap().to_owned(),
        threads: 1,
        workers: 1,
        providers: Vec::new(),
    })
    .unwrap();
    let element = gst::ElementFactory::make("onnxinfer")
        .property("model", file.to_str().unwrap())
        .property_from_str("live", "no")
        .build()
        .unwrap();
    preprocess(&model, "I420", &picture(&photo, "I420"));
    preprocess(&model, "RGB", &picture(&photo, "RGB"));
    let sample = picture(&photo, "NV12");
    let tensor = preprocess(&model, "NV12", &sample);
    postprocess(&model, &tensor);
    compare(&model, &tensor, &element, &sample);
}
