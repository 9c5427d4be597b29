/**
 * What others may ask of a training that runs: a page, a signal, another part of the program. Requests are flags: the loop takes
 * them after its next step, and two requests before that are one. Ending the training is not among them: an AbortSignal does it.
 */
export class TrainingControls {
  #preview = false
  #save = false

  /** Asks for pictures of all prompts after the step under way. */
  requestPreview(): void {
    this.#preview = true
  }

  /** Asks for the weights to be saved after the step under way. */
  requestSave(): void {
    this.#save = true
  }

  /** For the loop: whether previews have been asked for since the last call. */
  takePreviewRequest(): boolean {
    const asked = this.#preview
    this.#preview = false
    return asked
  }

  /** For the loop: whether a save has been asked for since the last call. */
  takeSaveRequest(): boolean {
    const asked = this.#save
    this.#save = false
    return asked
  }
}
