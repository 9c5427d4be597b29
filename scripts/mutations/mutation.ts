/** Mistakes made on purpose in a file of CUDA kernels, or of what drives a GPU: the tests must notice each. */
export interface MutatedFile {
  /** Under native/. */
  readonly file: string
  /** Under test/, without extension; run in this order until one fails. */
  readonly tests: readonly string[]
  /** Of what is made from the file, such as a header, compile only these sources again. Under native/. Default: all. */
  readonly sources?: readonly string[]
  /** By name: text that occurs once in the file, and what stands there instead. The result must compile. */
  readonly mistakes: Readonly<Record<string, readonly [find: string, replace: string]>>
}
