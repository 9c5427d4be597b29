export { add } from './add.ts'
export { concatBatch } from './concatBatch.ts'
export { posteriorSample } from './posteriorSample.ts'
