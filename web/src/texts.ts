// The page's texts in two languages.

const ENGLISH = {
  title: "SSH key pairs",
  otherLanguage: "中文",
  moment: "One moment…",
  signIn: "Sign in",
  signOut: "Sign out",
  signOutUnsaved: "You have not saved the private key of {name}. If you sign out now, nobody can recover it. Sign out?",
  help: "Help",
  helpWhat: "What happens here?",
  helpWhatText:
    "This page makes a key in your browser, orders a key pair that is sealed to it, and opens the answer here. Only this page can open it. What you save is the private key.",
  helpAccess: "How do I get access?",
  helpAccessText: "Ask the operator of this function. The form offers only what its policy grants you.",
  helpServer: "How does the key get onto a server?",
  helpServerText:
    "Choose the key pair in Tencent Cloud's console when you create the server. On a server that you can reach already, add the public key as a line of ~/.ssh/authorized_keys.",
  helpLost: "What if I lose the private key?",
  helpLostText: "Nobody can recover it. Create another key pair under another name, and have the lost one deleted.",
  signInAtIssuer: "Sign in at your organisation. This opens a new window.",
  signInTyped: "Your secret signs requests in this browser and is never sent.",
  callerId: "Caller ID",
  secret: "Secret",
  continue: "Continue",
  newKeyPair: "New key pair",
  mine: "My key pairs",
  none: "You have no key pairs.",
  soon: "End within seven days: {names}",
  inRegion: "In {region}",
  made: "Made {day}",
  ends: "Removed on {time}",
  endsNever: "Never removed",
  inUse: "Used by {instances}",
  notInUse: "Not in use",
  delete: "Delete",
  deleteQuestion: "Delete {name}?",
  deleteHint:
    "Nobody can undo this. Servers that have its public key still accept the private key: remove it from their authorized_keys.",
  deleted: "Deleted {name}.",
  cancel: "Cancel",
  grant: "Purpose",
  grantNamed: "{names} in {regions}",
  grantAny: "Any name in {regions}",
  keyName: "Key name",
  nameHint: "Up to 25 letters, digits and underscores. Yours look like {names}.",
  nameAny: "Up to 25 letters, digits and underscores.",
  nameWrong: "A key name has 1 to 25 letters, digits or underscores.",
  nameNotGranted: "The policy allows you names like {names}.",
  fieldsWrong: "Correct the marked fields.",
  valueRefused: "The function does not accept this value.",
  atField: "{field}: {text}",
  region: "Region",
  expiry: "Removed after",
  expiryNever: "Never",
  minutesLongest: "{n} min (maximum)",
  hoursLongest: "{n} h (maximum)",
  daysLongest: "{n} d (maximum)",
  minutes: "{n} min",
  hours: "{n} h",
  days: "{n} d",
  project: "Project",
  tags: "Tags",
  optional: "{key} (optional)",
  tagWrong: "{key} must match {pattern}.",
  advanced: "Advanced",
  format: "Private key format",
  recipient: "Seal to this public key instead",
  recipientField: "Public key",
  asAdvised: "{english}",
  recipientHint: "age1…, a line of a .pub file, PEM, JWK or PGP. Only the owner of the key can open the result.",
  recipientHintNoPgp: "age1…, a line of a .pub file, PEM or JWK. Only the owner of the key can open the result.",
  sealedHere: "The private key is sealed to a key that only this page holds, and opened here.",
  sealedPasted: "The private key is sealed to the public key above. This page cannot open it.",
  sealedRegistered: "The private key is sealed to the key registered for you.",
  create: "Create key pair",
  creating: "Creating the key pair…",
  again: "Try again",
  created: "Key pair {name} is ready",
  saveNow: "Save the private key now. Once you close or reload this page, nobody can recover it.",
  savedNow: "Saved. Keep the private key to yourself: this page forgets it when you close it or create another.",
  savePrivate: "Save private key",
  copyPrivate: "Copy private key",
  showPrivate: "Show private key",
  hidePrivate: "Hide private key",
  privateKey: "Private key",
  sealedTo: "This envelope holds the private key, sealed to the recipient.",
  envelope: "Sealed private key",
  saveEnvelope: "Save as {file}",
  openWith: "Open it with",
  copy: "Copy",
  copied: "Copied.",
  notCopied: "Your browser does not let this page copy. Select the text and copy it yourself.",
  saved: "Saved as {file}.",
  logIn: "Log in with it",
  logInHint: "Bind the key pair to a server, or add the public key to its authorized_keys. Replace HOST with its address.",
  user: "User name on the server",
  userOwn: "another",
  userName: "User name",
  windows: "On Windows",
  windowsHint: "In PowerShell, in the folder with the private key. The first line keeps other users from reading it.",
  puttyHint:
    "For PuTTY: when you create a key pair, choose PPK as the format, under Advanced. PuTTY takes that file under Connection, SSH, Auth, Credentials.",
  publicKey: "Public key",
  fingerprint: "Fingerprint",
  keyId: "Key ID",
  expires: "Removed on",
  at: "{time}",
  never: "Never",
  another: "Create another",
  anotherUnsaved:
    "You have not saved the private key of {name}. If you create another now, nobody can recover it. Go on?",
  requestId: "Request {id}",
  onceMore: "You can try again in {seconds} seconds.",
  eConfig: "The page could not load its settings. Check your connection and reload.",
  eBrowser: "This page needs HTTPS and a current browser. Open its https:// address.",
  eBlocked: "The browser blocked the sign-in window. Allow pop-ups for this page and sign in again.",
  eIssuer: "The sign-in service returned an unexpected answer. Try again. If it keeps failing, tell its operator.",
  eAudience:
    "You are signed in, but the service issued no token for this page. Tell its operator: the audience of the tokens does not match the policy.",
  eDenied: "The sign-in was refused or cancelled. Sign in again.",
  handedOver: "You are signed in. You can close this window.",
  e401Issuer: "Your sign-in has expired or is not accepted here. Sign in again. Your entries are kept.",
  e401Typed:
    "The ID or secret is wrong, or this computer's clock is off by more than five minutes. Check both and enter them again.",
  e400: "The request is not valid. Correct this and try again:",
  e403: "The policy does not grant this. Change the name, region, lifetime or tags, or ask the policy's owner.",
  e403Grants: "The policy grants you nothing that this page can request. Ask the policy's owner.",
  e403Mine: "The policy does not let you do this. Ask the policy's owner.",
  eGone: "You have no such key pair any more.",
  eInUse: "An instance uses this key pair. Detach it there, then delete it.",
  eRepeat: "This did not work yet. Check your connection, wait a moment and try again.",
  eTaken: "A key pair with this name exists. Choose another name.",
  eInFlight: "This request is still in progress. Wait a moment and try again. You get its result, and no second key pair.",
  e422: "The request cannot be fulfilled. Correct this and try again:",
  e429: "Too many requests. Wait a moment and try again.",
  e502: "The cloud refused the request or returned an invalid answer. No key pair remains. Tell the operator of this function.",
  e503: "The service is unavailable. No key pair remains. Wait a moment and try again.",
  e504: "It is not clear yet whether the key pair was created. Keep this page open and try again: the same request never creates a second one.",
  eNetwork:
    "There was no answer. Check your connection, keep this page open and try again: the same request never creates a second key pair.",
  eOther: "The function failed. Try again. If it keeps failing, tell its operator.",
  eNotOurs: "This page's key does not open the answer. Do not use it, and tell the operator of this function.",
  eReloaded:
    "The page was closed or reloaded before you saved the private key of {name}, and the key that opens it is lost. Use another name, and have {name} deleted if it exists.",
};

export type Key = keyof typeof ENGLISH;

const CHINESE: Record<Key, string> = {
  title: "SSH 密钥对",
  otherLanguage: "English",
  moment: "请稍候…",
  signIn: "登录",
  signOut: "退出登录",
  signOutUnsaved: "{name} 的私钥尚未保存，退出后将无法找回。确定要退出吗？",
  help: "帮助",
  helpWhat: "本页做什么？",
  helpWhatText: "本页在您的浏览器中生成一把密钥，用它加密新密钥对的私钥，再在本页解密。只有本页能解开。您保存的就是这个私钥。",
  helpAccess: "如何获得权限？",
  helpAccessText: "请联系本函数的管理员。表单只列出策略授予您的选项。",
  helpServer: "如何把密钥用到服务器上？",
  helpServerText: "在腾讯云控制台创建服务器时选择该密钥对。对于已能登录的服务器，把公钥作为一行加入 ~/.ssh/authorized_keys。",
  helpLost: "私钥丢了怎么办？",
  helpLostText: "无法找回。请换一个名称重新创建，并请人删除丢失的密钥对。",
  signInAtIssuer: "请在您所在组织的登录页面登录（将打开新窗口）。",
  signInTyped: "密钥只在本浏览器内用于签名，不会被发送。",
  callerId: "调用者 ID",
  secret: "密钥",
  continue: "继续",
  newKeyPair: "新建密钥对",
  mine: "我的密钥对",
  none: "您还没有密钥对。",
  soon: "七天内到期：{names}",
  inRegion: "地域 {region}",
  made: "创建于 {day}",
  ends: "{time} 自动删除",
  endsNever: "永不自动删除",
  inUse: "正被 {instances} 使用",
  notInUse: "未使用",
  delete: "删除",
  deleteQuestion: "删除 {name}？",
  deleteHint: "删除后无法恢复。已有其公钥的服务器仍会接受对应的私钥，请从这些服务器的 authorized_keys 中移除公钥。",
  deleted: "已删除 {name}。",
  cancel: "取消",
  grant: "用途",
  grantNamed: "{names}，地域 {regions}",
  grantAny: "任意名称，地域 {regions}",
  keyName: "密钥名称",
  nameHint: "最多 25 个字母、数字或下划线。您可用的名称形如：{names}",
  nameAny: "最多 25 个字母、数字或下划线。",
  nameWrong: "名称须为 1 到 25 个字母、数字或下划线。",
  nameNotGranted: "策略允许的名称形如 {names}。",
  fieldsWrong: "请更正标出的字段。",
  valueRefused: "函数不接受此值。",
  atField: "{field}：{text}",
  region: "地域",
  expiry: "自动删除",
  expiryNever: "永不",
  minutesLongest: "{n} 分钟（最长）",
  hoursLongest: "{n} 小时（最长）",
  daysLongest: "{n} 天（最长）",
  minutes: "{n} 分钟",
  hours: "{n} 小时",
  days: "{n} 天",
  project: "项目",
  tags: "标签",
  optional: "{key}（可选）",
  tagWrong: "{key} 须匹配 {pattern}。",
  advanced: "高级",
  format: "私钥格式",
  recipient: "改为加密给此公钥",
  recipientField: "接收公钥",
  asAdvised: "{chinese}",
  recipientHint: "age1…、.pub 文件中的一行、PEM、JWK 或 PGP。只有该密钥的所有者能打开结果。",
  recipientHintNoPgp: "age1…、.pub 文件中的一行、PEM 或 JWK。只有该密钥的所有者能打开结果。",
  sealedHere: "私钥将加密给仅本页持有的密钥，并在本页解密。",
  sealedPasted: "私钥将加密给上面的公钥，本页无法解密。",
  sealedRegistered: "私钥将加密给为您登记的公钥。",
  create: "创建密钥对",
  creating: "正在创建密钥对…",
  again: "重试",
  created: "密钥对 {name} 已就绪",
  saveNow: "请立即保存私钥。关闭或刷新本页后将无法找回。",
  savedNow: "已保存。请妥善保管私钥：关闭本页或再建一个之后，本页不再保留它。",
  savePrivate: "保存私钥",
  copyPrivate: "复制私钥",
  showPrivate: "显示私钥",
  hidePrivate: "隐藏私钥",
  privateKey: "私钥",
  sealedTo: "以下是加密给接收者的私钥。",
  envelope: "加密的私钥",
  saveEnvelope: "保存为 {file}",
  openWith: "打开命令",
  copy: "复制",
  copied: "已复制。",
  notCopied: "浏览器不允许本页复制，请手动选中并复制。",
  saved: "已保存为 {file}。",
  logIn: "用它登录",
  logInHint: "将密钥对绑定到服务器，或把公钥加入其 authorized_keys。请把 HOST 换成服务器地址。",
  user: "服务器上的用户名",
  userOwn: "其他",
  userName: "用户名",
  windows: "Windows 用户",
  windowsHint: "在私钥所在的文件夹中打开 PowerShell 执行。第一行禁止其他用户读取私钥。",
  puttyHint:
    "使用 PuTTY：创建密钥对时，在“高级”中把私钥格式选为 PPK，再在 PuTTY 的 Connection → SSH → Auth → Credentials 中选择该文件。",
  publicKey: "公钥",
  fingerprint: "指纹",
  keyId: "密钥 ID",
  expires: "删除时间",
  at: "{time}",
  never: "永不",
  another: "再建一个",
  anotherUnsaved: "{name} 的私钥尚未保存，继续后将无法找回。确定要再建一个吗？",
  requestId: "请求 {id}",
  onceMore: "{seconds} 秒后可以重试。",
  eConfig: "无法加载本页的设置。请检查网络后刷新。",
  eBrowser: "本页需要 HTTPS 和较新的浏览器。请用 https:// 地址打开。",
  eBlocked: "浏览器拦截了登录窗口。请允许本页弹出窗口后重新登录。",
  eIssuer: "登录服务响应异常。请重试；如仍失败，请联系其管理员。",
  eAudience: "您已登录，但登录服务没有为本页签发令牌。请告诉管理员：令牌的 audience 与策略不符。",
  eDenied: "登录被拒绝或取消。请重新登录。",
  handedOver: "您已登录，可以关闭此窗口。",
  e401Issuer: "登录已过期或不被接受。请重新登录，已填写的内容会保留。",
  e401Typed: "ID 或密钥有误，或本机时钟偏差超过五分钟。请检查后重新输入。",
  e400: "请求有误。请更正以下内容后重试：",
  e403: "策略不允许此请求。请更改名称、地域、有效期或标签，或联系策略管理员。",
  e403Grants: "策略没有授予您可在本页申请的权限。请联系策略管理员。",
  e403Mine: "策略不允许此操作。请联系策略管理员。",
  eGone: "您已没有这个密钥对。",
  eInUse: "有实例正在使用此密钥对。请先解绑，再删除。",
  eRepeat: "操作暂未完成。请检查网络，稍后重试。",
  eTaken: "同名密钥对已存在。请换一个名称。",
  eInFlight: "该请求仍在处理中。请稍后重试：您会得到它的结果，不会创建第二个密钥对。",
  e422: "无法完成此请求。请更正以下内容后重试：",
  e429: "请求过多，请稍后重试。",
  e502: "云端拒绝了请求或响应无效，未留下密钥对。请联系本函数的管理员。",
  e503: "服务暂不可用，未留下密钥对。请稍后重试。",
  e504: "尚不确定密钥对是否已创建。请保持本页打开并重试：同一请求不会创建第二个密钥对。",
  eNetwork: "没有收到响应。请检查网络，保持本页打开并重试：同一请求不会创建第二个密钥对。",
  eOther: "函数出错。请重试；如仍失败，请联系其管理员。",
  eNotOurs: "本页的密钥无法打开返回的内容。请勿使用，并联系本函数的管理员。",
  eReloaded: "保存 {name} 的私钥之前，本页被关闭或刷新，解密所需的密钥已丢失。请换一个名称；如 {name} 已存在，请将其删除。",
};

export type Values = Record<string, string | number>;

/** Values of these names are times. They are shown in the reader's zone and language. */
const TIMES: Record<string, Intl.DateTimeFormatOptions> = {
  day: { dateStyle: "medium" },
  time: {
    year: "numeric",
    month: "long",
    day: "numeric",
    hour: "numeric",
    minute: "2-digit",
    timeZoneName: "short",
  },
};

let chinese = /^zh\b/i.test(navigator.language);

export function say(key: Key, values: Values = {}): string {
  const text = (chinese ? CHINESE : ENGLISH)[key];
  return text.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = String(values[name] ?? "");
    const format = TIMES[name];
    return format ? new Intl.DateTimeFormat(chinese ? "zh-CN" : "en", format).format(new Date(value)) : value;
  });
}

/** Write a text into an element, and translate it when the language changes. */
export function write(element: HTMLElement, key: Key, values: Values = {}): void {
  element.dataset["text"] = key;
  element.dataset["values"] = JSON.stringify(values);
  element.textContent = say(key, values);
}

export function clear(element: HTMLElement): void {
  delete element.dataset["text"];
  element.textContent = "";
}

function translate(): void {
  document.documentElement.lang = chinese ? "zh-CN" : "en";
  document.title = say("title");
  for (const element of document.querySelectorAll<HTMLElement>("[data-text]")) {
    element.textContent = say(element.dataset["text"] as Key, JSON.parse(element.dataset["values"] ?? "{}"));
  }
  for (const element of document.querySelectorAll<HTMLElement>("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset["label"] as Key));
  }
}

/** Show the page in the browser's language, and offer the other one. */
export function speak(button: HTMLButtonElement): void {
  button.addEventListener("click", () => {
    chinese = !chinese;
    offer();
  });
  const offer = () => {
    translate();
    button.textContent = say("otherLanguage");
    button.lang = chinese ? "en" : "zh-CN";
  };
  offer();
  button.hidden = false;
}
