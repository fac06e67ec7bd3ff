//! Writes tiny ONNX models byte by byte (protobuf), so that tests need no file that is not theirs.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::{Path, PathBuf};

fn varint(mut v: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while v >= 0x80 {
        out.push((v as u8) | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
    out
}

fn number(field: u64, v: u64) -> Vec<u8> {
    [varint(field << 3), varint(v)].concat()
}

fn bytes(field: u64, data: &[u8]) -> Vec<u8> {
    [
        varint(field << 3 | 2),
        varint(data.len() as u64),
        data.to_vec(),
    ]
    .concat()
}

fn text(field: u64, s: &str) -> Vec<u8> {
    bytes(field, s.as_bytes())
}

fn node(op: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for input in inputs {
        out.extend(text(1, input));
    }
    out.extend(text(2, output));
    out.extend(text(4, op));
    for attribute in attributes {
        out.extend(bytes(5, attribute));
    }
    bytes(1, &out)
}

/// An integer attribute.
fn attribute(name: &str, v: u64) -> Vec<u8> {
    [text(1, name), number(3, v), number(20, 2)].concat()
}

fn floats(name: &str, shape: &[usize], data: &[f32]) -> Vec<u8> {
    assert_eq!(shape.iter().product::<usize>(), data.len());
    let raw: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
    let mut out: Vec<u8> = shape.iter().flat_map(|d| number(1, *d as u64)).collect();
    out.extend(number(2, 1));
    out.extend(text(8, name));
    out.extend(bytes(9, &raw));
    bytes(5, &out)
}

/// Numbers of types, as ONNX has them.
pub const F32: u64 = 1;
pub const U8: u64 = 2;
pub const I64: u64 = 7;
pub const F16: u64 = 10;

/// An input (field 11) or output (field 12) of floats; -1 leaves a dimension open.
fn value(field: u64, name: &str, shape: &[i64]) -> Vec<u8> {
    value_of(field, name, F32, shape)
}

fn value_of(field: u64, name: &str, kind: u64, shape: &[i64]) -> Vec<u8> {
    let dims: Vec<u8> = shape
        .iter()
        .flat_map(|d| match u64::try_from(*d) {
            Ok(d) => bytes(1, &number(1, d)),
            Err(_) => bytes(1, &text(2, "open")),
        })
        .collect();
    let tensor = [number(1, kind), bytes(2, &dims)].concat();
    bytes(
        field,
        &[text(1, name), bytes(2, &bytes(1, &tensor))].concat(),
    )
}

fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    let graph = [graph.concat(), text(2, "g")].concat();
    [number(1, 8), bytes(8, &number(2, 13)), bytes(7, &graph)].concat()
}

/// Name, type, declared shape and real shape of an output, and its values.
pub type FixedOutput = (&'static str, u64, Vec<i64>, Vec<usize>, Vec<f32>);

/// A model that says the same of every picture: what a family's export gives for it.
#[derive(Clone)]
pub struct Fixed {
    /// Name, type and shape of the input that takes the picture.
    pub input: (&'static str, u64, Vec<i64>),
    /// Name, type and shape of other inputs.
    pub sides: Vec<(&'static str, u64, Vec<i64>)>,
    /// The outputs.
    pub outputs: Vec<FixedOutput>,
    /// Notes of the maker.
    pub notes: Vec<(&'static str, &'static str)>,
    /// Whether the picture goes through bytes on its way, as in a quantised model.
    pub quantised: bool,
}

impl Fixed {
    /// With one input of floats and outputs of floats of the shapes that they declare.
    pub fn new(side: i64, outputs: Vec<(&'static str, Vec<usize>, Vec<f32>)>) -> Self {
        let outputs = outputs
            .into_iter()
            .map(|(name, shape, data)| {
                let told = shape.iter().map(|d| *d as i64).collect();
                (name, F32, told, shape, data)
            })
            .collect();
        Self {
            input: ("images", F32, vec![1, 3, side, side]),
            sides: Vec::new(),
            outputs,
            notes: Vec::new(),
            quantised: false,
        }
    }

    /// The bytes of the model.
    pub fn write(&self) -> Vec<u8> {
        let (name, kind, shape) = &self.input;
        let mut graph = vec![node("Cast", &[name], "floats", &[attribute("to", F32)])];
        let mut last = "floats";
        if self.quantised {
            graph.push(node(
                "QuantizeLinear",
                &["floats", "step", "zero"],
                "bytes",
                &[],
            ));
            graph.push(node(
                "DequantizeLinear",
                &["bytes", "step", "zero"],
                "back",
                &[],
            ));
            graph.push(floats("step", &[], &[1.0]));
            graph.push(scalar_byte("zero", 0));
            last = "back";
        }
        graph.push(node(
            "ReduceMean",
            &[last],
            "mean",
            &[attribute("keepdims", 0)],
        ));
        graph.push(node("Mul", &["mean", "nothing"], "none", &[]));
        graph.push(floats("nothing", &[], &[0.0]));
        let mut sum = "none".to_owned();
        for (i, (side, ..)) in self.sides.iter().enumerate() {
            let (cast, mean, part, next) = (
                format!("c{i}"),
                format!("m{i}"),
                format!("p{i}"),
                format!("s{i}"),
            );
            graph.push(node("Cast", &[side], &cast, &[attribute("to", F32)]));
            graph.push(node(
                "ReduceMean",
                &[&cast],
                &mean,
                &[attribute("keepdims", 0)],
            ));
            graph.push(node("Mul", &[&mean, "nothing"], &part, &[]));
            graph.push(node("Add", &[&sum, &part], &next, &[]));
            sum = next;
        }
        for (i, (output, to, _, real, data)) in self.outputs.iter().enumerate() {
            let (base, full) = (format!("base{i}"), format!("full{i}"));
            graph.push(floats(&base, real, data));
            graph.push(node("Add", &[&base, &sum], &full, &[]));
            graph.push(node("Cast", &[&full], output, &[attribute("to", *to)]));
        }
        graph.push(value_of(11, name, *kind, shape));
        for (side, kind, shape) in &self.sides {
            graph.push(value_of(11, side, *kind, shape));
        }
        for (output, kind, told, ..) in &self.outputs {
            graph.push(value_of(12, output, *kind, told));
        }
        let mut out = model(&graph);
        for (key, note) in &self.notes {
            out.extend(bytes(14, &[text(1, key), text(2, note)].concat()));
        }
        out
    }
}

/// A small file that says very much: an output `[1, boxes, 7]` of numbers of 0.9.
pub fn flood(boxes: i64) -> Vec<u8> {
    let shape: Vec<u8> = [1, boxes, 7]
        .iter()
        .flat_map(|d: &i64| d.to_le_bytes())
        .collect();
    let size = [
        number(1, 3),
        number(2, I64),
        text(8, "size"),
        bytes(9, &shape),
    ]
    .concat();
    model(&[
        node(
            "ReduceMean",
            &["images"],
            "mean",
            &[attribute("keepdims", 0)],
        ),
        node("Add", &["mean", "base"], "one", &[]),
        node("Expand", &["one", "size"], "output", &[]),
        floats("base", &[1, 1, 7], &[0.9; 7]),
        bytes(5, &size),
        value(11, "images", &[1, 3, 64, 64]),
        value(12, "output", &[1, -1, 7]),
    ])
}

fn scalar_byte(name: &str, v: u8) -> Vec<u8> {
    bytes(5, &[number(2, U8), text(8, name), bytes(9, &[v])].concat())
}

/// Cells of a YOLOX grid over 32 by 32 pixels.
const CELLS: usize = 21;

/// A model of YOLOX's shape over an input of 32 by 32 pixels, two classes: it sees one object of class 1 in the
/// middle of the input, 16 pixels wide and 8 high, and is as sure of it as the input is bright (mean / 255).
///
/// `side` is the side of the input that it declares, -1 to leave it open.
pub fn brightness(side: i64) -> Vec<u8> {
    let mut base = vec![0.0_f32; CELLS * 7];
    let mut gain = base.clone();
    // Cell 20 is the only one of stride 32.
    base[140..147].copy_from_slice(&[0.5, 0.5, 0.5_f32.ln(), 0.25_f32.ln(), 0.0, 0.1, 1.0]);
    gain[144] = 1.0 / 255.0;
    model(&[
        node(
            "ReduceMean",
            &["images"],
            "mean",
            &[attribute("keepdims", 0)],
        ),
        node("Mul", &["gain", "mean"], "part", &[]),
        node("Add", &["base", "part"], "output", &[]),
        floats("base", &[1, CELLS, 7], &base),
        floats("gain", &[1, CELLS, 7], &gain),
        value(11, "images", &[1, 3, side, side]),
        value(12, "output", &[1, CELLS as i64, 7]),
    ])
}

/// Like [`brightness`], for any number of pictures at once.
pub fn brightness_of_many() -> Vec<u8> {
    let axes = |list: &[u64]| {
        let numbers: Vec<u8> = list.iter().flat_map(|v| number(8, *v)).collect();
        [text(1, "axes"), numbers, number(20, 7)].concat()
    };
    let mut base = vec![0.0_f32; CELLS * 7];
    let mut gain = base.clone();
    base[140..147].copy_from_slice(&[0.5, 0.5, 0.5_f32.ln(), 0.25_f32.ln(), 0.0, 0.1, 1.0]);
    gain[144] = 1.0 / 255.0;
    let keep = |v| attribute("keepdims", v);
    model(&[
        node("ReduceMean", &["images"], "plane", &[axes(&[1]), keep(0)]),
        node("ReduceMean", &["plane"], "mean", &[axes(&[1, 2]), keep(1)]),
        node("Mul", &["gain", "mean"], "part", &[]),
        node("Add", &["base", "part"], "output", &[]),
        floats("base", &[1, CELLS, 7], &base),
        floats("gain", &[1, CELLS, 7], &gain),
        value(11, "images", &[-1, 3, 32, 32]),
        value(12, "output", &[-1, CELLS as i64, 7]),
    ])
}

/// Like [`brightness`], but blind, and slow: it multiplies large matrices first.
pub fn slow() -> Vec<u8> {
    const SIDE: usize = 768;
    let seed: Vec<f32> = (0..SIDE * SIDE).map(|i| (i % 7) as f32 * 1e-4).collect();
    let mut graph = vec![
        node(
            "ReduceMean",
            &["images"],
            "mean",
            &[attribute("keepdims", 0)],
        ),
        node("Add", &["seed", "mean"], "m0", &[]),
    ];
    let name = |i: usize| format!("m{i}");
    for i in 0..12 {
        graph.push(node("MatMul", &[&name(i), "seed"], &name(i + 1), &[]));
    }
    graph.extend([
        node("ReduceMean", &["m12"], "end", &[attribute("keepdims", 0)]),
        node("Mul", &["zero", "end"], "output", &[]),
        floats("seed", &[SIDE, SIDE], &seed),
        floats("zero", &[1, CELLS, 7], &[0.0; CELLS * 7]),
        value(11, "images", &[1, 3, 32, 32]),
        value(12, "output", &[1, CELLS as i64, 7]),
    ]);
    model(&graph)
}

/// A model that declares YOLOX's shape and gives another one.
pub fn liar() -> Vec<u8> {
    model(&[
        node(
            "ReduceMean",
            &["images"],
            "mean",
            &[attribute("keepdims", 0)],
        ),
        node("Add", &["base", "mean"], "output", &[]),
        floats("base", &[1, 20, 7], &[0.0; 140]),
        value(11, "images", &[1, 3, 32, 32]),
        value(12, "output", &[1, -1, 7]),
    ])
}

/// A model that runs on a blank picture only: its mean is the index of the only table it has.
pub fn fragile() -> Vec<u8> {
    model(&[
        node(
            "ReduceMean",
            &["images"],
            "mean",
            &[attribute("keepdims", 0)],
        ),
        node("Cast", &["mean"], "index", &[attribute("to", 7)]),
        node("Gather", &["tables", "index"], "output", &[]),
        floats("tables", &[1, 1, CELLS, 7], &[0.0; CELLS * 7]),
        value(11, "images", &[1, 3, 32, 32]),
        value(12, "output", &[1, CELLS as i64, 7]),
    ])
}

/// A model of no detector's shape.
pub fn embedding() -> Vec<u8> {
    model(&[
        node("ReduceMean", &["x"], "mean", &[attribute("keepdims", 0)]),
        node("Add", &["base", "mean"], "y", &[]),
        floats("base", &[1, 8], &[0.0; 8]),
        value(11, "x", &[1, 3, 32, 32]),
        value(12, "y", &[1, 8]),
    ])
}

/// Writes a model and, unless empty, the TOML beside it.
pub fn write(folder: &Path, name: &str, model: &[u8], toml: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, model).unwrap();
    if !toml.is_empty() {
        std::fs::write(path.with_extension("toml"), toml).unwrap();
    }
    path
}
