// The official SDK for Node as its users have it: makes one call and prints the answer.
import { cvm } from "tencentcloud-sdk-nodejs-cvm";

const { ENDPOINT, SECRET_ID, SECRET_KEY, ACTION, PARAMETERS } = process.env;
const client = new cvm.v20170312.Client({
  credential: { secretId: SECRET_ID, secretKey: SECRET_KEY },
  region: "ap-guangzhou",
  profile: { httpProfile: { endpoint: ENDPOINT, protocol: "http://" } },
});
const answer = await client[ACTION](JSON.parse(PARAMETERS)).catch(({ code }) => ({ Error: { Code: code } }));
process.stdout.write(JSON.stringify(answer));
