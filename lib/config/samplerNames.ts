/** Names of the samplers that pictures can be drawn with. Those that begin with `k_` are second names of the same samplers. */
export const samplerNames = [
  ...(['ddim', 'pndm', 'lms', 'euler', 'euler_a', 'heun', 'dpm_2', 'dpm_2_a'] as const),
  ...(['dpmsolver', 'dpmsolver++', 'dpmsingle', 'k_lms', 'k_euler', 'k_euler_a', 'k_dpm_2', 'k_dpm_2_a'] as const),
] as const

export type SamplerName = (typeof samplerNames)[number]

/** Whether a text is one of {@link samplerNames}. */
export function isSamplerName(text: string): text is SamplerName {
  return samplerNames.some((name) => name === text)
}
