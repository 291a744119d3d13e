import { describe, expect, test } from "vitest";
import { canonical, fromKeras, fromKerasLayer } from "../../src/formats/names.ts";

describe("Keras", () => {
  test.each([
    ["conv1/kernel", "conv1.weight"],
    ["conv1/bias", "conv1.bias"],
    ["bn_conv1/gamma", "bn1.weight"],
    ["bn_conv1/beta", "bn1.bias"],
    ["res2a_branch2a/kernel", "layer1.0.conv1.weight"],
    ["bn2a_branch2a/moving_mean", "layer1.0.bn1.running_mean"],
    ["res5c_branch2c/bias", "layer4.2.conv3.bias"],
    ["res3a_branch1/kernel", "layer2.0.downsample.0.weight"],
    ["bn3a_branch1/moving_variance", "layer2.0.downsample.1.running_var"],
    ["res3b1_branch2b/kernel", "layer2.1.conv2.weight"],
    ["bn4b22_branch2c/gamma", "layer3.22.bn3.weight"],
    ["conv1_conv/kernel", "conv1.weight"],
    ["conv1_bn/beta", "bn1.bias"],
    ["conv2_block1_1_conv/kernel", "layer1.0.conv1.weight"],
    ["conv2_block1_0_conv/kernel", "layer1.0.downsample.0.weight"],
    ["conv5_block3_0_bn/gamma", "layer4.2.downsample.1.weight"],
    ["conv4_block23_3_bn/moving_mean", "layer3.22.bn3.running_mean"],
    ["resnet50/res2a_branch2a/kernel:0", "layer1.0.conv1.weight"],
  ])("%s is %s", (keras, torch) => expect(fromKeras(keras)).toBe(torch));

  test("the classifier's layers have any names", () => {
    const head = new Map([["my_head", "fc"]]);
    expect(fromKeras("my_head/kernel", head)).toBe("fc.weight");
    expect(fromKeras("model/my_head/bias:0", head)).toBe("fc.bias");
  });

  test.each(["dense_block1/kernel", "conv1/depthwise_kernel", "conv1", "", "conv1/toString", "res6a_branch1/kernel"])(
    "%s is of no ResNet",
    (name) => expect(fromKeras(name)).toBeUndefined(),
  );

  test("a layer", () => expect(fromKerasLayer("res4f_branch2b")).toBe("layer3.5.conv2"));
});

describe("PyTorch", () => {
  const stage = "resnet.encoder.stages.1.layers.2";
  test.each([
    ["layer1.0.conv1.weight", "layer1.0.conv1.weight"],
    ["layer3.8.bn2.running_var", "layer3.8.bn2.running_var"],
    ["layer1.0.se_module.fc1.weight", "layer1.0.se.fc1.weight"],
    ["layer2.0.shortcut.0.weight", "layer2.0.downsample.0.weight"],
    ["layer2.0.shortcut.1.running_mean", "layer2.0.downsample.1.running_mean"],
    ["resnet.embedder.embedder.convolution.weight", "conv1.weight"],
    ["resnet.embedder.embedder.normalization.running_mean", "bn1.running_mean"],
    ["embedder.embedder.convolution.weight", "conv1.weight"],
    [`${stage}.layer.0.convolution.weight`, "layer2.2.conv1.weight"],
    [`${stage}.layer.2.normalization.bias`, "layer2.2.bn3.bias"],
    [`${stage}.shortcut.convolution.weight`, "layer2.2.downsample.0.weight"],
    [`${stage}.shortcut.normalization.running_var`, "layer2.2.downsample.1.running_var"],
    ["something.else", "something.else"],
  ])("%s is %s", (from, to) => expect(canonical(from)).toBe(to));

  test.each([
    ["0.weight", "conv1.weight"],
    ["1.running_mean", "bn1.running_mean"],
    ["7.1.bn2.bias", "layer4.1.bn2.bias"],
    ["9.weight", "9.weight"],
  ])("%s of a Sequential is %s", (from, to) => expect(canonical(from, true)).toBe(to));

  test("counters of training steps are left out", () => {
    expect(canonical("module.bn1.num_batches_tracked")).toBeUndefined();
    expect(canonical(`${stage}.shortcut.normalization.num_batches_tracked`)).toBeUndefined();
  });
});
