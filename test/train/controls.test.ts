import { describe, expect, it } from 'vitest'
import { TrainingControls } from '../../lib/train/controls.ts'

describe('TrainingControls', () => {
  it('gives each request to the loop once, however often it was made', () => {
    const controls = new TrainingControls()
    expect([controls.takePreviewRequest(), controls.takeSaveRequest()]).toEqual([false, false])
    controls.requestPreview()
    controls.requestPreview()
    expect([controls.takePreviewRequest(), controls.takeSaveRequest()]).toEqual([true, false])
    controls.requestSave()
    expect([controls.takePreviewRequest(), controls.takeSaveRequest()]).toEqual([false, true])
    expect([controls.takePreviewRequest(), controls.takeSaveRequest()]).toEqual([false, false])
  })
})
