import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that take half a minute and more, slowest first. */
export const slowFiles = [
  'test/learning/learning.test.ts',
  'test/train/resume.test.ts',
  'test/cuda/training.test.ts',
  'test/train/step/repeatedPass.test.ts',
  'test/train/optimizers.test.ts',
  'test/train/float16Trainer.test.ts',
  'test/train/oracle.test.ts',
  'test/cuda/models.test.ts',
  'test/cuda/resume.test.ts',
  'test/cli/doctor.test.ts',
]

/** Begins with the slow files, so that none of them runs alone at the end while the other workers have nothing to do. */
export class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const place = slowFiles.findIndex((path) => moduleId.endsWith(path))
      return place < 0 ? slowFiles.length : place
    }
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b))
  }
}
