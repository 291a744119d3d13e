/** The inventory: one line per kernel. */
export { add_f32 } from "./add_f32";
export { avgpool_f32 } from "./avgpool_f32";
export { clamp_f32 } from "./clamp_f32";
export { conv_f32 } from "./conv_f32";
export { gate_f32 } from "./gate_f32";
export { gemm_f32 } from "./gemm_f32";
export { globalpool_f32 } from "./globalpool_f32";
export { im2col_f32 } from "./im2col_f32";
export { maxpool_f32 } from "./maxpool_f32";
export { norm_f32 } from "./norm_f32";
// images
export { normalize_f32 } from "./normalize_f32";
export { pack_f32 } from "./pack_f32";
export { peak_f32 } from "./peak_f32";
export { resize_u8_horizontal } from "./resize_u8_horizontal";
export { resize_u8_vertical } from "./resize_u8_vertical";
export { shortcut_f32 } from "./shortcut_f32";
export { sigmoid_f32 } from "./sigmoid_f32";
export { softmax_f32 } from "./softmax_f32";
export { widen_f32 } from "./widen_f32";
export { winograd2_input_f32 } from "./winograd2_input_f32";
export { winograd2_output_f32 } from "./winograd2_output_f32";
export { winograd2_weights_f32 } from "./winograd2_weights_f32";
export { winograd4_input_f32 } from "./winograd4_input_f32";
export { winograd4_output_f32 } from "./winograd4_output_f32";
export { winograd4_weights_f32 } from "./winograd4_weights_f32";
