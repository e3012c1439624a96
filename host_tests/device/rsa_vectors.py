# Keys and signatures made with OpenSSL 3.0.19 (`openssl genpkey`, `openssl dgst -sign`): an implementation that is not ours.
# The private halves are of no value: they are here so that a test can sign what no honest signer would.
import hashlib
from binascii import a2b_base64, unhexlify

DATA = b"The quick brown fox\n"

SPKI_2048 = """\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsk2nsYk43g1NS+dnpQ4z
zzBHIGDtV+ei8yH1wn5FBhEYByEn40lvDh/lbEmBKNPncgLOEF3vkIZ352aDanP8
PViCEjrq/zzjR9XplAQ30AqkW7syUerc0qtjyVJigWNik1jlu+BeUdlqFTGGdjuG
nF3aWVtmUk1nc1H2gJhCmO0WnhRLJYuZKHYl7ICt0Bh9BebKHHIvE6UXlfpGN3zA
n6JsZaSx+tVOc67bvX0ZZnWRoaOU2nvv9QzxbxFYgJRzEoAzV/PqbSITd4sIgnoi
CjdtmAoD1og/4yK6ecPce5JQUkCom5dj5XHrbRDuXV4RGryEJRUlCdLm7tFH0siv
AwIDAQAB
-----END PUBLIC KEY-----
"""
SPKI_2049 = """\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEBhsTvuYaXEJV9+5s8QsrC
3ObcmCXkTv/FseAs2NC14ufIdTGsNO6lQQQq4ALPc0a7tA9CFcFC9Q8LWbBD439m
Reet2BbdurUKz2uHUBXt0XzG+Dcr/BtN1stK0wqKeYbinPLyJpwvkI5z/UiFqevI
HLbo1uYAClDPfu44jkAxc2hleAiRRVcuyvH133JzlptUhyOX19vhYZIZomLMsGf9
0hNhWoP40ubEBJdrqwSbyIHDGl8quhBqniRqsuhbXYjKlQZB/DoIIcihxhRgLQIM
+pYNii4Dzob2lnWcCWQtFpuHHhwyBwRAtYIdFt+aIKaehXI/eIV+oLT5hxGXvl3j
pwIDAQAB
-----END PUBLIC KEY-----
"""
SPKI_3072 = """\
-----BEGIN PUBLIC KEY-----
MIIBojANBgkqhkiG9w0BAQEFAAOCAY8AMIIBigKCAYEA2hGqOEXBHwGxzam45fi4
ZI88mMwazYRnHVirUNGxSgzUCq/vHDzDGDUhTFXlN6DTOmJdaXCiI/JkEkjCJhqw
Cwuj5gV+f9SKP204+qbcnFyp79aq6Inu02XzRn/1SQolXdA/W9hQWomW8UyzjZhW
RCN0Jw1MsBKgXII0uselH0Fz68zSQPpO+3U4mInAkaG7qNevTVXbzl26GSyvRTRz
DJk7vcVLg/uFC7T1V5p0NE6k6jc8ZGSsifu9bOJf6hy13xsZiEfESPw67fGSrs4e
aC3y6Uo2sMGuvBkeuAg5xnHgFbhDPpNOrxKAUC+fJoHzOuALFvZnmCOWwXldVePB
U9ulV7fPDACFvhAZ7bHU3Md8DwETXne0j7uLDAsf/0pIPxUyy/XzUY/sBkL628p8
SDncI8q38jKS+qJ2UU60NRAoiTejLQ/LuGmDrlh2MbJBcri5z//yyk/vUP/OGTnM
BWMh7nsPCXhSRzWfuyxGA7HRFjIFrPlM00qefA7t6T4bAgMBAAE=
-----END PUBLIC KEY-----
"""
SPKI_4096 = """\
-----BEGIN PUBLIC KEY-----
MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEA0o8ZpoXH5UXrtWiCJgd/
zg7wZOW14bpXbYTGxxjxmhziZzgWr5eU8X9gRKKAMYIQU97G3HOGhPiNzBnSd9f5
cDJKX4+5bOtLWXvZwokc6hC/v+gF3Yj2xZ8/3N/0BvBVtsXNLwdt6JgLIwU3yjLS
INAUPRrKoYEd/Lc5PLX1cq5G5kKzcUNAbZwPA/tlc5cDHpD5ZfieOsiKmKor2F7p
7cSe8ZJzhrNB+KkQhWvj59NrltPKaBgHvHMCj3EvCoD0vYvnaWFTzhm2y2dFW2Fb
/ncuMiADEhopAUvf9NgRX8nwJUxYwhMBo3z57M/XyMaAcTbi/d+rLLQYMkthD7EZ
bLRx2G+A8VgRHASCuA02G3Jb2b23YjRAGV0zA2Bm+Vz+s19TP4S0g+opNpaBaQPW
V1ZIUhZU2s9MtabuNvegXLaRgcCk5NiW61YFhr+/y5Ml+uPKp0M+paA03mNVJoBZ
rGgMOQnqvUPAYCsH5iWpMxJUSZIirnF1aB6zX4qcMHlvFQ1tSY+IdP3QOs1E7TsS
lgmoAPcLYKmu0TWOIoMjKQ/FueCj6Kmg3KroFvs7khDyoEWQ5tvSBttb6JWKkc2v
hVmeLvqilaczgiNum5w7kEAvgA6e2RGywtwd0KE1+f8YJz5PakifIRb+FJqhZlkl
6Gqq3ojSyPb/JdKJST5E2X8CAwEAAQ==
-----END PUBLIC KEY-----
"""
PKCS1_2048 = """\
-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAsk2nsYk43g1NS+dnpQ4zzzBHIGDtV+ei8yH1wn5FBhEYByEn40lv
Dh/lbEmBKNPncgLOEF3vkIZ352aDanP8PViCEjrq/zzjR9XplAQ30AqkW7syUerc
0qtjyVJigWNik1jlu+BeUdlqFTGGdjuGnF3aWVtmUk1nc1H2gJhCmO0WnhRLJYuZ
KHYl7ICt0Bh9BebKHHIvE6UXlfpGN3zAn6JsZaSx+tVOc67bvX0ZZnWRoaOU2nvv
9QzxbxFYgJRzEoAzV/PqbSITd4sIgnoiCjdtmAoD1og/4yK6ecPce5JQUkCom5dj
5XHrbRDuXV4RGryEJRUlCdLm7tFH0sivAwIDAQAB
-----END RSA PUBLIC KEY-----
"""
PKCS1_3072 = """\
-----BEGIN RSA PUBLIC KEY-----
MIIBigKCAYEA2hGqOEXBHwGxzam45fi4ZI88mMwazYRnHVirUNGxSgzUCq/vHDzD
GDUhTFXlN6DTOmJdaXCiI/JkEkjCJhqwCwuj5gV+f9SKP204+qbcnFyp79aq6Inu
02XzRn/1SQolXdA/W9hQWomW8UyzjZhWRCN0Jw1MsBKgXII0uselH0Fz68zSQPpO
+3U4mInAkaG7qNevTVXbzl26GSyvRTRzDJk7vcVLg/uFC7T1V5p0NE6k6jc8ZGSs
ifu9bOJf6hy13xsZiEfESPw67fGSrs4eaC3y6Uo2sMGuvBkeuAg5xnHgFbhDPpNO
rxKAUC+fJoHzOuALFvZnmCOWwXldVePBU9ulV7fPDACFvhAZ7bHU3Md8DwETXne0
j7uLDAsf/0pIPxUyy/XzUY/sBkL628p8SDncI8q38jKS+qJ2UU60NRAoiTejLQ/L
uGmDrlh2MbJBcri5z//yyk/vUP/OGTnMBWMh7nsPCXhSRzWfuyxGA7HRFjIFrPlM
00qefA7t6T4bAgMBAAE=
-----END RSA PUBLIC KEY-----
"""
# of kinds that are not taken: too short, an elliptic curve, RSA for PSS only
SPKI_1024 = """\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDGFEWbAbG0DHMvbos8mFp1p6AL
co//56cNtv9/YuiqaK28DdMLJr0Axrl+AQP8k2L1gKvNJ3CHboVzj2YAhuE4RPCz
YHN3SvnJ+0m4FxsC7qjAJyHxdSrfGA1yO6MF3pxwm98KALJ6S/VuoWvJdsTTvTZj
ae21fkY+AL5I4AMz1wIDAQAB
-----END PUBLIC KEY-----
"""
SPKI_P256 = """\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEoGGs2QSkv77FfMmyvg6xePB7TUAq
OGtvocmL9zNbYPnDm4Icrz2rIvpFezfTh+OEvLJUKc2kyTnSGGEIEJbonw==
-----END PUBLIC KEY-----
"""
SPKI_PSS = """\
-----BEGIN PUBLIC KEY-----
MIIBIDALBgkqhkiG9w0BAQoDggEPADCCAQoCggEBALO+q65EZIRqFA/pg5TtN9bn
VlQsBJwNeRdrrX+vMdCUuDUhs6UGcDolsB6FCFWzbT+6DMIo+mEHjA7kgwOkEXnp
JpRTJs360WaMXS/s0NZWj1r/5pJRYt0Tp+vMOYExdCsiyMwtnNVFWNTTqE1ZzgSo
5pYxTurl9ZnmQrj4qmGg/eG7WHpyC7w5nCpEj9O0xTd3h1aL+neXgBDKSzqTDcCG
ZzVNSCY0A40SQo+hzoZdY3AIv2UbMbMCEgvEcsDtJYQmoL6Fs7CRAgZANu4cVDRc
aJCwOOtq2VsgBT8irktwKKp2+693vXvHnazkZvCyvBP5O8KbZ+hBTEYiUmFand8C
AwEAAQ==
-----END PUBLIC KEY-----
"""
# exponent 3
SPKI_E3 = """\
-----BEGIN PUBLIC KEY-----
MIIBIDANBgkqhkiG9w0BAQEFAAOCAQ0AMIIBCAKCAQEArbgLMu6RZO1USn2+N7wY
mJRZOnZzk8MLS02t8DPRN51wLDglI7yZXNR4dm0Kzwb8QwBbKAJfVvNGkE7wb6Qp
fT1V7Z7S+VDCZoyEyn5A0s7Th/NnAjkf/SiTYPncTrMYtGbobHW4WAd53HoqniEG
2SpMBQvrDyt6qLvt6sppbICchMFQWQa0XJj72jC7sqDEKwjBtN3Do4sSuIPXGtc6
+lmwdnzSStawDur+NXUAHTKrvXthw3S/oxBx3U9Z2gy3Adtz5l/eRdOMJ6WQZiCn
4SzvlDOHGDNKYmKojXecgw+u/EAXc9wkIrYH0LMHVDZJKezpbpXBYa5pV6+nexkr
KwIBAw==
-----END PUBLIC KEY-----
"""

# (key, algorithm): signature of DATA
SIGNATURES = {
    (SPKI_2048, "pkcs1v15-sha256"): (
        "UtE8XEaZAfm2lV888Q4jJqkNrgFXcH0M0T7a27rjJSrZWrJr8WJF5B7yZKtxkhExCn0QfsZ5DGcp8QPlR+U722PSdr8qKjBLAd/ySfni1r7Ak4zSbpxNWs4v"
        "8jF4ByR4YsRjfMzdwCdMfHPhqBA43A8WlO20b0fsed+7zgqiuz5FPf0EBx4BXe593jQZQCM/zm9oRXZdxngDHBXjAipIJMkMG+6r9Ruyet10Qq5vMQCRhduq"
        "vI4A8lmRIfNqtuHUyUFiMeqdXhPAsM3A5Dqw4Ooi3CHgTUNpxA6iKLjLYJxZTOXtkyO2HID6fEdUFleV1vtuTnvWJPpVQFLybQ7MmQ=="
    ),
    (SPKI_2048, "pkcs1v15-sha512"): (
        "llw0bxN9ujfQjzPiUKTcWyGHE5rW0Gij0zGV5dJZM6BYc+khXl+0ANPMmZ2Lfye39DmlTtpNYhYMg7v110ffWGO6J3MzauuM1xT/EhpS4DOL/O/K9I313W+0"
        "H8RAdrVumT/ZsB7AOAzm9TlqA5UeDm/4QxPPQ9T/YQcfNm9vSH13s7J15Tamyu+s2kgUhOwI1z/ZWWCcHqsOT0SmdsuzCX7sHrHlKdbgRUov3ZrWSxFmNCBE"
        "FvXrcHLlS70U5norPABpWn56HIEDobYErq6vjVp5WinJ5CJKXeDiSUuqew4IggRGbk0qbWPU70Vr2EaCtGjvOiqyUilcqpxTBnhJJA=="
    ),
    (SPKI_2048, "pss-sha256"): (
        "edDBaYxx94Cr/oErEvTQQnfvKQFUpyEVTTxWuMrDsThpdotXxFBO04Isg2bQqJ4itHjOm92GECUH6H4BfW+l05xtcXHP0MRImrTB5iCcsgp2lzimaVK8PQIZ"
        "S2+y0cQYxJNVihHKjC61f2P17mG5FC1EyxtqRwEKFawjFuBPIl83+/SZ88O2Q/giXPxsmsNUQTwMvXZe2QK14bhh3yapgHhspiELXYIgDvFIAtKJXM9lK7Vy"
        "fL6z7DuunQWrqvQcbqF3vczoMh9mSbY28AiUCfgVCc+n/uhy9EYCuuy8zp5Zl8L7sjx3DiSduwa7A+MmRV0vnRiEElAtJH+d4Imk6w=="
    ),
    (SPKI_2048, "pss-sha512"): (
        "XcaoWFqC8Y1d/NA0sq8EPRStWIVfRQL52N2op9JkdQVNWTV2zxKbsq/2r41iVinRbTGIThmqPhvLsBDIZUV6tQN7wYx3uqbh0yHoFd7Ya4qk/auxCApeZK4g"
        "7v36qhwVrlyRGG2WptTPpN8o5t2gIr2Wkr4TN+5C5jmedMK7D13e/mSdWk4C0+8YthUQ6C9FDs1RayB0V0Xb28BMLz76CCTHN6IyxpcvhcBuMfQnTm/xvTB+"
        "1rJNWLyiYrD5FfsVxFp06Lq6z/JwwiEGJfSb1oTuj5Ss0PLJsrS5g12cYO2GFC3nKkEnxtP2i8DVb67Dr7ha5SclaB+xGG2v8MPxYg=="
    ),
    (SPKI_2049, "pkcs1v15-sha256"): (
        "AJusGudzNOYnOvWu8TfQ2FvjMtpFQha0fQbRHNOtM96otmBLLkWHc5sZS+unE4xnlSWr0Z9djECA3L9NInSfFXoAhQV059Aeett+b8vqtaMBfDgZypzmEBai"
        "8fGNhXw5ddsE0IajrhgBZ3XhOVn6oztrv3COagvBqD7+/Rimqf1fcthzi8pAS12Uc0Khq0GdPgbxpag+jdUKosqHpjDicQ7GlHyRj3fFUsU07zVtzOzON7wr"
        "Tx301U38zG2gSojtJUZYi3lNplc5NxSNhwdVKC4FHwcwEj1l2Nmil/6WtaB0WMM0p2/nB4x2lCg5D9wzATzDOEAtyoYNWWROHdGDUNQ="
    ),
    (SPKI_2049, "pkcs1v15-sha512"): (
        "AOdJ2pGbJbXs9pvHzW6Dgp3G/H8UzIoyq8zkyZ9j11LgOgTdT2V8Ig5Fkyj41/IRrKjXvd5KuNShiJyn2LUe3a+QNVzY8TfL/UnBS6ncT2nqYu6c0+CuqbTt"
        "VQ2HCiy7cP+0R/uqpkZK0Vs15rQ9B0X49YCAlhAUOVKIwWcIjvMAr8O+fAQf9XKNZYM0M8GvBcYXFUhijSHMCjORS6MbKNUUwCPVGLwi5BpQ5cxcmtCE5IF6"
        "WV8VTw63YHK0y3nv3Ppv18cVAiNQdLGBIrCZKQy/pv2QzrFTmnRN/AI5BGR+g368q1tYvt6O5PvQy3LV6i35otr0v4Rr3Ps/uumOTH0="
    ),
    (SPKI_2049, "pss-sha256"): (
        "AXYaMofSluJA3uGhK/Uv1NoCmLzK7ySBIRDBGMp1oWlX3/Riic32gntjPv0R4xMMMJfvkl85Gg/1SXifbnoGDpKRHMGDbKcXvOVHwWkxAP+zHqUf+Cen6UhD"
        "B5QtVmmFF137h5k/7BeyEpQSQ9irIr/UT76xd3kHNDG/tKZJglZiG7nTvq/HbOi69I1fgfZ6dLBR9siauMKDGTUrngrNJGCw7leCzNCptSTRz6ZAT2ATsOHM"
        "WLMNfIwN4ASNXw2Dw8DfQ/EQ+yEwpo9FJ1SQMSnezUmBGEXHNXGksLaBSoZ5xNEeXKm5xXmwwcD8k7/WKSQ2rd5Fwjsg8orL91GArsA="
    ),
    (SPKI_2049, "pss-sha512"): (
        "AO36VdlusAgDTHH22/IVe8DYuqRCgV8v1QWzu4E3/1vAlXTn6tWv7ZM6m0gCyBk4/PsTUkou2dd/M0fhwnIx0Uq02ht+s8asOs1TDE0qfbY4DiRezdvRdeJB"
        "V7pIOV5eer3oAblUvWZ/gqviQ1kZAgNRXt9G2dFLDRaCwK19cgFya/9HSpAvmHHo76Z1WnDwLjw2yGVl+WRhr4dgsKSEW6Yybva2gCgP6JLRawjPWwcCgYlQ"
        "H4eGQkCIq5d9jttoKCh9iLLVP5Y+EnUc8bap+4MR/q+6gLVHY6xS+51H18SsO8y53J1oBMV+OduJzTyxnD7Yqq1OWvchJZvKnLdocp8="
    ),
    (SPKI_3072, "pkcs1v15-sha256"): (
        "HYQlZXtSWRxRCudz415MpNy0HfkaIrVvRw4DmfVnwlcX12gAHWOdpnIfSSHbkZLW7j3QSbNI2pyP5E0V8Hajm8aUDYN2qnZWIGuiphVj4XYEPC7rQ+O0fABm"
        "x2r9Lr9S1tdDo3JKRCgO2LStYOsfpeVVXLYEVLGDI2xKd4R9I4e/QHn0bOTb1qcVzMgQ2zu99XWuXfi2EzA0vanOjqRYgbXqkbUTJvjbOaksZtYOJ7yOcVT8"
        "FT4jlJDkLiJlhfSnzbrvQEsB5lnSIhrZXD4RIot/CSUAv5MIvLxnxikn6C+/ewlwO/0W6XSahxmc36uDt89f9c0iZbZvk7ITKMfX3OfGnoHklizqKFpHhaLC"
        "Ua/Rf58ulujZsSSwBxDLvfYQ9u0Gaj54IYpi1uNaKVPLfQCEd6rsRljkG2J73zs00ae7VxO463VBYmmcgS80X69E+kr5NAWDM0iCi1MAaF11z/6Kw0BCBZhi"
        "F5LJJa2UnGQw0F75EDBOdKyB07cY4JnK"
    ),
    (SPKI_3072, "pkcs1v15-sha512"): (
        "aOv7HwE8JDN66x0BwFbVTFnSWzh1RP4E9cUFQqzQwnwzol/ftYqTXG5jyiz2XMiMZjleKy2Shyp/rUVi1VLqqMMuIBWkGpCGIG4muQXK+7t/rUKNlde4jqpc"
        "ZJGrVkxCgytxgkKmR/5HKutaNQVJOA/7Hggu+B+yvwV6itMgyeRGV9GyV4jymBK6rj9p8cmnO4D1CqsSSaL+dG6gvuGWV7hLVs9pQuKau4jWLdCv6PkdJvc4"
        "Vey5m+OacZD9FcrfqclBvpoudwiFtlU84nY0f+O2RWNoSvRTn+kCzTPvTh4XOttjlkc5naUqQFYEyKiuhHYLlway9ryniO1u2JWLPU1cxT69a1/TfRZZS+rv"
        "SHrPYJ4OE1Z/4JphmDiMhraLx+n3JY8iVcwfMy/4mwAUKpYTvYFUY9bJa4ugKkwuqpA09+PQi1jteRMGueD8jR34ajYWs+tp3gn/hBAME8D6lGrVUJic/amm"
        "wI6TMIWh8Ogo4iNkj7NUgxAJQWPWxM3j"
    ),
    (SPKI_3072, "pss-sha256"): (
        "iRybAhnCZuEQjmafIjnQexKXu3IfeJRkn8hP/qgKaYjm1Sd+MMTH2LEJGvi83xmKm4u+8DYUjgvVXls9XR9jVXqqN5XMABndPFD84/BirfegbANJ8xLkZxAA"
        "bLOFwj5RUzD/aAmjmSc7NeRjYT6iQihUMiwz3ztyu9lXL3bLwvXY6FnVWZnqBf+0c53nA757JWykEJTQIhynCmR5zfLCxcdCw+gNK5239dzV2TjBfLNxjofm"
        "lOQbxA9AEqCNcUFTOSZYMbmQL9ozcCs+k2BJr1+xaJJWlIiix+t1Mi2Kl6QNaRk/AmSqGq+axlT30oy2w66e6AeRF33qGXiVOxzW9EOre6f7CsmF0s15QbiX"
        "ckazLe/6V87kK/vPb9zdc63qZTyEr8GdWrZ9iAL7Qv+AyqpgV9EthY1lQArQMR9QLht0/C29TzWtPZe0xefeG53G2mkLp6SjL7+CCdtKkQNOkJ9W2KTJ/4d5"
        "9JejaxuF3F19MiVOk/Dcubqeh1XK4TIE"
    ),
    (SPKI_3072, "pss-sha512"): (
        "fJSi5SpaGvaCpjE3VqsX+lvPyXUdod+yZ5RQ/TqkNTndB20v09lqteULhicjTUMI35eCiGC31n9O9pQNHvx+DzdgLxNTcw/GdqXIQIjC6qLwY6IjdnhCXw4W"
        "XIO+3cyniojXFtKOwpxQ3gy3na0CHcnsHRKfBX2RcF6TvcqLpHfWzJaiT2ukacUjAm0IeNX5c+ithdLV5WNOiQ17m3sF2IFASBovXlBDWUGPMAfupdz80MKW"
        "MBChe8IBoCP6pz8mj6OPkO2zzVIpp0m1ypQj9i/4tLTg57Rk+KuSZqKbuOEh5czO9zW+gtrEknzprT6c9f0UEI07vUOG0z62/wLp0Fh4wM2erSgn855fSnBU"
        "kDhuNH64Li0KaNXSatf65EKIGIRVIfXm8Xp4LzO4miOvMNMEcwX5KDhUJutKZ0sv995VqnixRzweKf3oD1sM5Z/hi75mEHoF9QYqPeDWxWKoYHodCOLG0W+F"
        "5I3cHE0pmMjw3nr9aqE5FVE9p3zsDpnZ"
    ),
    (SPKI_4096, "pkcs1v15-sha256"): (
        "soepepphHPgaL7qWCOUlfF1gmz0u7w16M+FnzSi1m/g6ISv9cXcNKzEHkF9s65eDw2AUAFVGBbM6OPOa4mKzmkW+fhL8EvtPvORDfPFifbUSKjfcIf072Q5Q"
        "j9husURVBUfQI96gXte59vlmPBVBc7S46PoGGHeI2eX0RQ0C7/PIgaxDX9z/W8g4Svl8yaw/vHywR782DB5bsL7IiLAnrgubE8DwEbQz6/xFK4PIxH+0jWWE"
        "G2jiiNGhO+dYcz0rUz8iBxAyAkxXDgvUu4CULSGC9wW2cmBCEMbx/fwENIGuycSqCZGB9Rim1svv/fYX9QTF19QeQUYpFP7kjSovUSx+5d2vJTkaSAJNdDya"
        "bQfjdS2CVSVDKPZ23PDra6ndUNRnmolVSEs3XYKHsl+Ld6C3soPq0K/atxjgKoyb3qLxMCkT7OKVbXvrKSbFuc171JLCma63n94JotI6TxqdZuaWO7roDtF+"
        "PahHi7N9OeruXOjXXmlpA6/aYnfCuZAjdZ0gdEuBuYaOAdziNpyvqRlgB09Dyz7yKL3SsQ56a+sXYj0M1U8kNOhvCXagT/A8JLe8r5eKNuFSnUzxZ0gXleQn"
        "liW/Yh/HDlYg+sgUG4Wk3PbYnYk5C5xOSJEFl4N9LPjXGmdtkhA3hXhyBxk/2cOJc7coHGl5lIBiK4UZ3Nw="
    ),
    (SPKI_4096, "pkcs1v15-sha512"): (
        "jDH/WbYHhzDACb+8ksOQxgXFmxm9Kljtx4Y9ju9paQbOF152ECTsmwq3Do+0XfxoSo7BdFzHtKDNF6eWtZYG0jQvFoV2JZ2zAv1cF4rWc4Vl5n4wSLvVcTcA"
        "7HRBHj74+WyPhEa3T0WI6nyjwixD6RvPwInGlvxf4N/SPCNgAVGHuQ1+nTkIDWQAXk/stdaeJvoC7qJJaEuhz4wbsrydM8j8ZjGKfILx4gmRdarpvD4HDcv6"
        "ZVElKgwFAZJ/22eyNzmMOk4S3RteT+8dg3MHcmkGs9knhfxqKBF3f4iCXAuzt/FWdCMYIiPATePidw9WMaNrdAmYSYRq3W2W9i186rGHPVSris6ypaoVQAcY"
        "L3xkbswg82soND4fYRSgf/IS050mO1+hXZv3Bvm+He5eRdB45KdzuX1s33iMU8RzqozlanhrfcxXoFVrq6loOmoqcjk2w+PjlbNESWz+tJ8+1gYhpXoh4ACn"
        "7g+vHASeM650RWIcsMMepONYYVVDyGKIujcNwJnNKFam6zM0MzLgm+a2xHtWS/Ew+hPI4frykkcZUNFuSSYm9gAJWGuBa8bhesfwFjVQr5BpdsN57r8xfAc3"
        "b53D3jzTv/NPwpkv/6NzqB2huLSPCpDS6SPAMI9/lZdY/FkkdStCjEWmRcijDnKSl5Lrrl+ygVX9m+3jS4A="
    ),
    (SPKI_4096, "pss-sha256"): (
        "ByONemoiGwfJecSEl5ub105VeNHsuzJz0HeploQpdBYm+H6DOXDb6H7C6wkxNSW/lr3vnM+9YTYfXqfba0K7iXgbewEE/d917/DOonaYf7haJ5bej1FgmDnv"
        "30EThrnFTW7x0F2QM/NjIN/yN2cKLqqoct7RqRlqvUlYgzX/gWljgpn+ZDjrqDaD6owctt7j1kDCjQygryqHnV2JqyiL4bscJAIvmtbgCg4ceY7nkYnDqqYE"
        "ZeXcOq7Ol2bdmYg3mlh4bobPQpGdfjWBCcpAz/qNTMakttBgkXDDBKNCwtKEdy3uaIAfHrQEHGxo0/OEkijdBivHO6DnAConvq5cwpf3g/qjd2G8FI3hjp0w"
        "QPBLoXL6W5Aam4n0Igi+lcsqUcV9pzaDlRkGtkHUPHm9Cy4srA29HO9vdwJyZolo6Zf/BOXmQJN5hxPgrcymp5DQ2Kfnc9apwJJtGVaOsshvD75l9hgZGPYq"
        "G4tOg3vpq9ny2P1neg/1Yp6Smwxo/G0vo/KI8dEbz/4iZ+iQvMWi0JBqOVSmBrXSKMM1xGC7Bp14N+4EwwEt8P7c9q9tr4h4rGHMIlX0LwBxe+XykTPDa+w8"
        "9hdWCCqlnZGZKbX9v/0kd9+NyV6RBfmvKK0zgpsWdUYIZkEcazzMqFVywgm6D9FhPg6/pToSXX47HrEPO2g="
    ),
    (SPKI_4096, "pss-sha512"): (
        "QU8mQEH8bwgcF+bYIyzh4C59PL8L5LkZ6pNfF82BbUZakNKEAyTEuw4lyEMN1vwMsy8rETtodJ5NdXW3XmmLeqth6cfVxB+rsJUoaaN2KDIixFO5Tg22M1Sl"
        "cWuxFJ5l9mJEYrdcTLPtKgzhrAsyi8vD7am3PbW5yOWR0UwpwzZkNVHZyuHaVYB6iOCY9+UHH4dRsTyu2pqDQZxWwTElDa2ADoEqEJuaU24JwwJoQyg0Dned"
        "cdmU4c/l6bQnUS14bbNeoIjN7xNCXzX2OK3042MFhhXdyX0N0VyErY+xSaoiIB0zyv2UyIqE3huIJj90o0Rqa60Br5KpAUAMSdhDaMUlG/G9x285RRtWYUZw"
        "RG+O8i60VzobKv3igaEfZzutzwxu7Yx/8RGTtXWrF7XYkBlvCu8OHtVRvX7J30VfgDbEALo6R/24UC1bLRnolrJTooBSg/0xYgQHhylrxCAHeVddlIY0qL9H"
        "49hsjfzdXnzpZDAw9RttkPJqQRt20l7ocFCztZMRWKNFMVLrl8KAWnswOh782IPh2J4AxfdaP+ZjGjPvduGna7mxUoig5UvUbM4d5v0j3qUlXFSMYlFffev4"
        "pm8LV4AxB+d+6gMKKWw83KtprsJoJkcCA4PeNDUfWJWgdkuvZo9WmSTBcDqIS3SUnohKlH4Tmy54HCK+/Wo="
    ),
}

# RSA-2048 signatures of DATA that are right but for one thing
WRONG_SALTS = (
    # 0 bytes
    "evKx3D6/1gc8ODZseGL5SB4z+kLRXeif4TVP+xMhXY6ZDvf+33PL5MOX+jNHWRyVhQG6ZvtCwVDn4wcN4dmDZbEkiZVlGzMuj4drUbstQ50qbj3+KuFiFdob"
    "DYSamPGt8p5mMg5ILn4DikGn+TYpmqcIvEDxXDZftgGpPwjJOjM50imjHV86EfuFCC9nhfUMe8hW+kxaVg4YpzqjY1cyat0u4trFP4Cte0g8yAv4P7xRZ+r6"
    "dVIltqS3rmZ0dQhbCqBSBlq4LfhgqvDcgzHKvvKPJRpnJp+ZLjyIwjT6mJRee7td7QLwJHOm+PBffqrleBMHULsarPoFzYt6+/SAZw==",
    # 20 bytes
    "dFpexxt2qI2QUDzQWoSbOQgWuodbAbuVWj/8r2ad0qLLm+1jXOEQ5M52z7sNhCZE7vgi63trRIOQFJRIVpk9yTLhOW6V+2Dwsn960MaGA23ejFSlIcOc5mW/"
    "qrdhauwquF8h0WwdYDCG2VUfOWhIG2/TPMm7yCgMo/cnSXiS8CyBwyr3ssXCO1ZzYcuT9Fw+iKXpVwd8pHD09X9f7HT7EOEubx44C9P59GzUzXx/Vi+22b4d"
    "aMGqFYx9DZOFvIbeABo7Lv5+4PVMN6kSqLQf5isTfmKEMW6zUbBOHJaXkJA+Y9nqJVd9fSuzgNNcgghiAqFO0/MgzlZmRPNlQVo0IQ==",
    # 64 bytes
    "bZPy3UdjsjiQKztmwn9XdNTB6GC4lPLR9oXx2vfAhpxgLlE8xCb7xDTYptUJD981uLrma9k1pRqoAvt3K8S4TLaR73PScN7CofvHTBi1uku1ct5oFpHanPc9"
    "7I43j0o++XFgdZSByeSBopf+4fk9c8gx3bKZNMCfNwvGmgFOS6VZjul0JUF11zK2ZDmyN0KFqq/wpOtX6b3hdeTdMf0eINl9CxVCYYMaPsR47QA2135qjHpn"
    "f/7B8FANw1veKd/IALKivxkuvh7kL42fAdilFB3d073Rfh3YUcFV5SKAE5BHnTQLiX4s1cE87M4W1BW27HlY+5H6F1imucOpcLpaRQ==",
    # as long as fits
    "O9lT3r267FVQEp16Tane8Nmm95dxP+RvIk0L154589L7vgzv93BJdUJRLFaT6iUWhxRWCu33SVfvwC364Wnon3C+pxMEVK6Lh3HNBYE5+GCoYrOecSuK34DY"
    "ohl1scf63HYMk3LhQKy74dUQY19YVX1QxkF1679ldV9Qd3u2HtRJ/lP/5OWKePEp4QkoiO/hfLNwr/5G+6tSybapB1hPs3r89iviW4RzbVNqaaiSKYEDhwvB"
    "qzFape7GkOdMl47Qvn/AuEX0+m6G/krKAWwgnJfeX7UIq5kiFBnqOcPd4A4QfTeP9gzMOQ+6iafnDz7ddrBWa2wWB5e+3elEmG8TmA==",
)
MGF1_SHA1 = (
    "ONg16kFyItqfBJzl24/keLcSGUwY2SkmXs7xyg1GOlgkwGtdkXg3pzZnM72biF2Tt1Toekd5o9gPywc6Bkm435tIlWQcYj6XEt20OFdS2b+3V5bw9x1YG8BH"
    "6EZttCIvSEuwYX5r6Y43+Ra1PCwvBIytKHz7OZEHixqwIlCNRiTU0bixWiq/Uu/J/SVCGlCqsQsj7oc3pF7tQAnuc6kXV9C9IvU8PBOkdw7+t4DnglyR8uaK"
    "5d8HDukEdtD2zuADqOMN0yKVg5MRWYdWTi94eUdi9Oj1vebdnH0vxCCT4pJ26Ci/eXqbRIXl7oddFu4fZGaul3yWXZRiNI46Q+ecaA=="
)
PKCS1V15_SHA1 = (
    "sOT0YhFCbKFd3q5M1bLI/VuMfqr9rKE6yxLBMePRS8kW2GD5+GBdbxSYhjiWPSQK2Sir7GCTIY9+4ZYDUQU41oWGfwtZaUeByD8cSRNY5JDGbGMDgNY3ibnf"
    "uBigRnbvjfjj53NtiRFXcb4Su58rwRzSaQ7Ubshcz6xoIPi/m6ZSjwpGP1cJsNa7PqopzVQYKWF+9vrRsdXlGi9LaqCjvJh7KMjVvzZqk9izDnULbuleOveD"
    "9/cLs9K+YnCZ7WlQVdxglid5uBP4mBpNL1rR19eF6dXbQFH1ZkZ0egdz7J4VxLY3lKwhuQe8KFe7pSGRkdQpqM/77g01GDugNlk8Lw=="
)

_N_2048 = (
    "b24da7b18938de0d4d4be767a50e33cf30472060ed57e7a2f321f5c27e45061118072127e3496f0e1fe56c498128d3e77202ce105def908677e76683"
    "6a73fc3d5882123aeaff3ce347d5e9940437d00aa45bbb3251eadcd2ab63c952628163629358e5bbe05e51d96a153186763b869c5dda595b66524d67"
    "7351f680984298ed169e144b258b99287625ec80add0187d05e6ca1c722f13a51795fa46377cc09fa26c65a4b1fad54e73aedbbd7d19667591a1a394"
    "da7beff50cf16f115880947312803357f3ea6d2213778b08827a220a376d980a03d6883fe322ba79c3dc7b92505240a89b9763e571eb6d10ee5d5e11"
    "1abc8425152509d2e6eed147d2c8af03"
)
_D_2048 = (
    "1cb1d8a1feb6732dead9a3550fc0186068a199b95f98fd0341639ebc7d3bb87d39c3b3f74a61c008a2e37628e22b62e6e57744186835aca9a7544b30"
    "2d0a9b7677eefee612799f1fe8a8a95d93cc33a3f2cd7c73ddb11176a9f4762ad70581ac149082f0586c7579aad3dc538a658c0550295aa615f27ad8"
    "823b97931c6de35447b11fe043830a4fff1cdd5ad77ca11e58256ad4ac571d6f431b1e7d5978e7ff5ee48969bd75539a7e7984268da141f5740179de"
    "48b94eaa3491746104ff9fe190ba337f1221366dca648762b72f1c185ccca12dc7edae792f9b1f63d4fb77145f25bab17db419a8260d363bc7cdad5f"
    "e3000c283fc1b8e227dd678e9b89c9a9"
)


def sign_encoded(message):
    """The private operation of SPKI_2048 on an encoded message, whatever that is."""
    n = int.from_bytes(unhexlify(_N_2048), "big")
    return pow(int.from_bytes(message, "big"), int.from_bytes(unhexlify(_D_2048), "big"), n).to_bytes(256, "big")


def encoded(data):
    """What a PKCS#1 v1.5 signature with SHA-256 has to hold (RFC 8017 §9.2)."""
    info = unhexlify("3031300d060960864801650304020105000420") + hashlib.sha256(data).digest()
    return b"\0\1" + b"\xff" * (253 - len(info)) + b"\0" + info


def sign(data):
    """PKCS#1 v1.5 signature of the data with SHA-256 and the private half of SPKI_2048."""
    return sign_encoded(encoded(data))


def signature(key, algorithm):
    """The signature of DATA as bytes."""
    return a2b_base64(SIGNATURES[(key, algorithm)])
