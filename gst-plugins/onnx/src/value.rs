//! Between our values and ONNX Runtime's: inputs of every type, outputs as 32-bit floats.

use ort::memory::Allocator;
use ort::session::{SessionInputValue, SessionOutputs};
use ort::value::{
    DynTensor, DynTensorValueType, DynValue, PrimitiveTensorElementType, Tensor as Owned,
    TensorElementType, TensorRef,
};

use crate::decode::{MAX_NUMBERS, Tensor};
use crate::half;
use crate::io::Element;
use crate::preprocess::Values;
use crate::session::{RunError, SideInput};

fn failed(e: ort::Error) -> RunError {
    RunError(e.to_string())
}

/// The type of a tensor as we name it.
pub(crate) fn element(kind: Option<TensorElementType>) -> Element {
    match kind {
        Some(TensorElementType::Float32) => Element::F32,
        Some(TensorElementType::Float16) => Element::F16,
        Some(TensorElementType::Float64) => Element::F64,
        Some(TensorElementType::Uint8) => Element::U8,
        Some(TensorElementType::Int8) => Element::I8,
        Some(TensorElementType::Int32) => Element::I32,
        Some(TensorElementType::Int64) => Element::I64,
        _ => Element::Other,
    }
}

/// A tensor of pictures as an input.
pub(crate) fn input(shape: [usize; 4], values: &Values) -> Result<SessionInputValue<'_>, RunError> {
    Ok(match values {
        Values::F32(data) => TensorRef::from_array_view((shape, data.as_slice()))
            .map_err(failed)?
            .into(),
        Values::U8(data) => TensorRef::from_array_view((shape, data.as_slice()))
            .map_err(failed)?
            .into(),
        Values::F16(data) => halves(shape, data)?.into(),
    })
}

/// ONNX Runtime's bindings know 16-bit floats only with a library that we do not need otherwise.
fn halves(shape: [usize; 4], data: &[u16]) -> Result<DynTensor, RunError> {
    if shape.iter().product::<usize>() != data.len() {
        return Err(RunError("the tensor is not of its shape".to_owned()));
    }
    let mut tensor =
        DynTensor::new(&Allocator::default(), TensorElementType::Float16, shape).map_err(failed)?;
    let to = tensor.data_ptr_mut().cast::<u16>();
    #[allow(
        unsafe_code,
        reason = "the only way into a tensor of 16-bit floats is its address"
    )]
    // SAFETY: the tensor was made on the processor with as many 16-bit numbers as `data` holds, and is not shared.
    unsafe {
        std::ptr::copy_nonoverlapping(data.as_ptr(), to, data.len());
    }
    Ok(tensor)
}

/// An input beside the picture.
pub(crate) fn side_input(side: &SideInput) -> Result<(&str, SessionInputValue<'_>), RunError> {
    let shape = [1_usize, 2];
    Ok(match side {
        SideInput::Whole(name, numbers) => {
            let tensor = Owned::from_array((shape, numbers.to_vec())).map_err(failed)?;
            (name, tensor.into())
        }
        SideInput::Float(name, numbers) => {
            let tensor = Owned::from_array((shape, numbers.to_vec())).map_err(failed)?;
            (name, tensor.into())
        }
    })
}

/// Hands the outputs to `work`, those of other types converted.
pub(crate) fn read<T>(
    outputs: &SessionOutputs<'_>,
    work: impl FnOnce(&[Tensor<'_>]) -> T,
) -> Result<T, RunError> {
    let values: Vec<_> = outputs.iter().collect();
    let mut converted = Vec::with_capacity(values.len());
    for (name, value) in &values {
        converted.push(convert(name, value)?);
    }
    let mut tensors = Vec::with_capacity(values.len());
    let mut shapes = Vec::with_capacity(values.len());
    for (name, value) in &values {
        let shape: Vec<usize> = value
            .shape()
            .iter()
            .map(|d| usize::try_from(*d).unwrap_or(0))
            .collect();
        shapes.push((*name, shape));
    }
    for (((name, shape), copy), (_, value)) in shapes.iter().zip(&converted).zip(&values) {
        let data = match copy {
            Some(data) => data.as_slice(),
            None => value.try_extract_tensor::<f32>().map_err(failed)?.1,
        };
        tensors.push(Tensor { name, shape, data });
    }
    Ok(work(&tensors))
}

/// The numbers of an output as 32-bit floats, `None` where they are that already.
fn convert(name: &str, value: &DynValue) -> Result<Option<Vec<f32>>, RunError> {
    let kind = value.dtype().tensor_type();
    if kind == Some(TensorElementType::Float32) {
        return Ok(None);
    }
    let count = value.shape().num_elements();
    if count > MAX_NUMBERS {
        return Err(RunError(format!("output `{name}` has {count} numbers")));
    }
    // Classes and counts are small; what a float cannot hold exactly is no class.
    let data = match kind {
        Some(TensorElementType::Int64) => copied(value, |v: i64| v as f32)?,
        Some(TensorElementType::Int32) => copied(value, |v: i32| v as f32)?,
        Some(TensorElementType::Float64) => copied(value, |v: f64| v as f32)?,
        Some(TensorElementType::Uint8) => copied(value, |v: u8| f32::from(v))?,
        Some(TensorElementType::Int8) => copied(value, |v: i8| f32::from(v))?,
        Some(TensorElementType::Float16) => halves_of(value, count)?,
        _ => return Err(RunError(format!("output `{name}` holds no numbers"))),
    };
    Ok(Some(data))
}

fn copied<T: PrimitiveTensorElementType + Copy>(
    value: &DynValue,
    convert: impl Fn(T) -> f32,
) -> Result<Vec<f32>, RunError> {
    let (_, data) = value.try_extract_tensor::<T>().map_err(failed)?;
    Ok(data.iter().map(|v| convert(*v)).collect())
}

fn halves_of(value: &DynValue, count: usize) -> Result<Vec<f32>, RunError> {
    let tensor = value
        .view()
        .downcast::<DynTensorValueType>()
        .map_err(failed)?;
    if !tensor.memory_info().is_cpu_accessible() {
        return Err(RunError("an output did not come back to memory".to_owned()));
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    let from = tensor.data_ptr().cast::<u16>();
    #[allow(
        unsafe_code,
        reason = "the only way out of a tensor of 16-bit floats is its address"
    )]
    // SAFETY: the tensor lies in memory, says that it holds 16-bit floats, and has `count` of them.
    let bits = unsafe { std::slice::from_raw_parts(from, count) };
    Ok(bits.iter().map(|b| half::to_f32(*b)).collect())
}
