export { add } from './add.ts'
export { type AttentionOptions, attention } from './attention.ts'
export { softmax } from './softmax.ts'
