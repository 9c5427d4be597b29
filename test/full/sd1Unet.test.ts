import { testUnet } from './unetSuite.ts'

testUnet('sd1')
