/** How right answers are where an image may show several classes. */

/** Scores of images for classes, and what the images show. */
export interface Scored {
  readonly classes: number;
  /** `[images, classes]`: probabilities or logits, larger for what is more likely shown. */
  readonly scores: ArrayLike<number>;
  /** `[images, classes]`: 1 where the image shows the class, else 0. */
  readonly targets: ArrayLike<number>;
}

/**
 * Average precision of each class: the mean, over the images that show it, of the precision among all that score as high
 * (scikit-learn's `average_precision_score`). Absent for a class that no image shows.
 */
export function averagePrecisions({ classes, scores, targets }: Scored): readonly (number | undefined)[] {
  const images = scores.length / classes;
  return Array.from({ length: classes }, (_, c) => {
    const order = Array.from({ length: images }, (_, i) => i * classes + c).sort((a, b) => scores[b]! - scores[a]!);
    let [shown, sum, pending] = [0, 0, 0];
    order.forEach((at, i) => {
      pending += targets[at]!;
      // Images of the same score are ranked together.
      if (i + 1 < images && scores[order[i + 1]!] === scores[at]) return;
      shown += pending;
      sum += (pending * shown) / (i + 1);
      pending = 0;
    });
    return shown === 0 ? undefined : sum / shown;
  });
}

/** Mean of the average precisions of the classes that some image shows (mAP); 0 where there are none. */
export function meanAveragePrecision(precisions: readonly (number | undefined)[]): number {
  const known = precisions.filter((each) => each !== undefined);
  return known.reduce((sum, each) => sum + each, 0) / Math.max(1, known.length);
}

/** For each class, the share of images of which it was decided rightly whether they show it. */
export function decisionAccuracies({ classes, scores, targets }: Scored, threshold: number): readonly number[] {
  const images = scores.length / classes;
  return Array.from({ length: classes }, (_, c) => {
    let right = 0;
    for (let at = c; at < scores.length; at += classes)
      right += Number(scores[at]! > threshold === (targets[at] === 1));
    return right / Math.max(1, images);
  });
}
