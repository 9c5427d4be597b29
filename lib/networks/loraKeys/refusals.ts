/** What looks like a LoRA file and is something else: other methods, other models. */

const methods: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/\.(dora_scale|lora_magnitude_vector)(\.|$)/, 'DoRA (weight-decomposed LoRA)'],
  [/\.hada_t\d/, 'a Tucker-decomposed LoHa'],
  [/\.lokr_t\d/, 'a Tucker-decomposed LoKr'],
  [/\.[ab][12]\.weight$/, 'GLoRA'],
  [/\.(oft_|boft_)/, 'OFT'],
  [/\.(ia3_l|on_input)(\.|$)/, 'IA3'],
  [/\.lora_mid\.weight$/, 'a Tucker-decomposed LoCon'],
  [/\.(diff|diff_b|w_norm|b_norm|set_weight|reshape_weight)$/, 'full weight differences'],
  [/\.lora_embedding_[AB]/, 'LoRA of embeddings'],
  [/\.lora_(B|up)\.(\w+\.)?bias$|\.lora\.up\.bias$/, 'LoRA with biases'],
  [/\.vera_lambda_|\.glora_|\.hra_/, 'another adapter method'],
  [/^(emb_params|string_to_param|clip_[lg])$/, 'textual inversion'],
]

const families: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/^(lora_te2_|text_encoder_2\.|(text_encoders\.)?clip_g\.)|label_emb|add_embedding/, 'Stable Diffusion XL'],
  [/transformer_blocks[._][1-9]\d*[._]attn/, 'Stable Diffusion XL'],
  [/double_blocks|single_blocks|single_transformer_blocks/, 'Flux'],
  [/joint_blocks/, 'Stable Diffusion 3'],
  [/(^|[._])(t5xxl|text_encoder_3|lora_te3)[._]/, 'Stable Diffusion 3 or Flux'],
  [/^lora_prior_/, 'Stable Cascade'],
  [/^(base_model\.model\.)?transformer\./, 'a diffusion transformer'],
]

/** Another adapter method or another family of models that a key gives away, in words; null when the key tells neither. */
export function foreignKey(key: string): { readonly kind: 'method' | 'family'; readonly name: string } | null {
  const family = families.find(([pattern]) => pattern.test(key))
  if (family) return { kind: 'family', name: family[1] }
  const method = methods.find(([pattern]) => pattern.test(key))
  return method ? { kind: 'method', name: method[1] } : null
}
